"""Whole processes: their wall time and the memory they had at most."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


class Run(NamedTuple):
  """What a process took: seconds, and at most so many bytes resident."""

  seconds: float
  peak: int


def run(*arguments: str, **environment: str) -> Run:
  """Runs Python with arguments, at the root of the repository.

  Raises:
    RuntimeError: it failed; with what it said last.
  """
  start = time.perf_counter()
  process = subprocess.Popen(
    [sys.executable, *arguments],
    cwd=ROOT,
    env={**os.environ, **environment},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  said = process.stdout.read()
  # wait4 alone says what this one process used.
  _, status, usage = os.wait4(process.pid, 0)
  process.returncode = os.waitstatus_to_exitcode(status)
  seconds = time.perf_counter() - start
  if process.returncode:
    raise RuntimeError(f'{" ".join(arguments)} failed: {said[-2000:]}')
  return Run(seconds, usage.ru_maxrss * 1024)
