"""Runs a config once for each combination of a grid of settings.

  python launch/sweep.py --config=configs/NAME.py --workdir=DIR
      --grid KEY=VALUE,VALUE,... [--grid ...] [--number=N] [--config.KEY=VALUE]

One after another; or the one of that number, from 0, as tasks of an array do.
Commas within brackets part no values. Each has a workdir of its own in DIR,
named by its settings, and goes on where an earlier start stopped. Ctrl-C and
SIGTERM are passed on to the run, which saves, and end the sweep.
"""

import argparse
import itertools
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[1]
# Of a file's name, in bytes.
_LONGEST = 255


def main() -> None:
  """Runs what the command line says, and exits as the first that failed."""
  parser = argparse.ArgumentParser(
    prog='sweep.py',
    description=__doc__,
    allow_abbrev=False,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument('--workdir', required=True, type=Path)
  parser.add_argument('--grid', action='append', required=True, metavar='KEY=…')
  parser.add_argument('--number', type=int)
  known, others = parser.parse_known_args()
  runs = combinations(known.grid, parser)
  if known.number is not None:
    if not 0 <= known.number < len(runs):
      parser.error(
        f'--number={known.number}, but there are {len(runs)} combinations, '
        'numbered from 0.'
      )
    runs = dict([list(runs.items())[known.number]])
  codes, stopped = [], False
  for name, settings in runs.items():
    print(f'sweep: {name}', flush=True)
    workdir = known.workdir.expanduser().absolute() / name
    code, stopped = run(
      *(sys.executable, '-m', 'jaxunlearn.launch', *others),
      *(f'--config.{setting}' for setting in settings),
      f'--workdir={workdir}',
    )
    codes.append(code)
    if stopped or code == os.EX_TEMPFAIL:
      break
  print(f'sweep: {codes.count(0)} of {len(runs)} combinations are done.')
  failed = [code for code in codes if code]
  # Stopped is what is said last.
  sys.exit(os.EX_TEMPFAIL if stopped else (failed or [0])[0])


def combinations(
  grid: list[str], parser: argparse.ArgumentParser
) -> dict[str, tuple[str, ...]]:
  """{name: settings KEY=VALUE}; the last of the grid changes first."""
  axes = []
  for axis in grid:
    key, _, values = axis.partition('=')
    values = re.split(r',(?![^(\[]*[)\]])', values)
    if not key or not all(values):
      parser.error(f'--grid {axis}: write KEY=VALUE,VALUE,...')
    axes.append([f'{key}={value}' for value in values])
  runs = list(itertools.product(*axes))
  named = {','.join(run).replace('/', '_'): run for run in runs}
  if len(named) < len(runs):
    parser.error('two combinations have one name: give each value once.')
  if max(len(os.fsencode(name)) for name in named) > _LONGEST:
    parser.error(
      'a combination has a name that is too long for a folder: put what is '
      'long into a config, and give --grid the rest.'
    )
  return named


def run(*command: str) -> tuple[int, bool]:
  """The exit code of a run, and whether a signal came, which it gets too."""
  came = []

  def note(number: int, frame: object) -> None:
    del frame
    came.append(number)

  numbers = signal.SIGTERM, signal.SIGINT
  before = {number: signal.signal(number, note) for number in numbers}
  try:
    process, told = subprocess.Popen(command, cwd=_ROOT), False
    while True:
      # Ctrl-C in a terminal has reached it already.
      if signal.SIGTERM in came and not told:
        process.send_signal(signal.SIGTERM)
        told = True
      try:
        code = process.wait(timeout=0.5)
        break
      except subprocess.TimeoutExpired:
        continue
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
  return (code if code >= 0 else 128 - code), bool(came)


if __name__ == '__main__':
  main()
