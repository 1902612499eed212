"""Whole processes: their wall time and the memory they had at most."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
# As `jaxunlearn.machine.keep_memory` has it: for both sides, or for none.
HEAP = {
  'MALLOC_ARENA_MAX': '1',
  'MALLOC_MMAP_MAX_': '0',
  'MALLOC_TRIM_THRESHOLD_': '-1',
  'MALLOC_TOP_PAD_': str(1 << 26),
}


class Run(NamedTuple):
  """What a process took: seconds, and at most so many bytes resident.

  Attributes:
    seconds: of wall time.
    peak: bytes.
    said: its output.
  """

  seconds: float
  peak: int
  said: str


def run(*arguments: str, **environment: str) -> Run:
  """Runs Python with arguments, at the root of the repository.

  Raises:
    RuntimeError: it failed; with what it said last.
  """
  with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / 'took.json'
    watch = [sys.executable, '-I', str(Path(__file__).with_name('watch.py'))]
    process = subprocess.run(
      [*watch, str(file), sys.executable, *arguments],
      cwd=ROOT,
      env={**os.environ, **environment},
      stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT,
      text=True,
    )
    if process.returncode:
      raise RuntimeError(
        f'{" ".join(arguments)} failed: {process.stdout[-2000:]}'
      )
    return Run(**json.loads(file.read_text()), said=process.stdout)
