"""Runs a config once for each combination of a grid of settings.

  python launch/sweep.py --config=configs/NAME.py --workdir=DIR
      --grid KEY=VALUE,VALUE,... [--grid ...] [--number=N] [--config.KEY=VALUE]

One after another; or the one of that number, from 0, as tasks of an array do.
Each has a workdir of its own in DIR, named by its settings, and goes on where
an earlier start stopped.
"""

import argparse
import itertools
import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[1]


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
    runs = runs[known.number : known.number + 1]
  codes = []
  for run in runs:
    name = ','.join(run).replace('/', '_')
    print(f'sweep: {name}', flush=True)
    command = [
      *(sys.executable, '-m', 'jaxunlearn.launch', *others),
      *(f'--config.{setting}' for setting in run),
      f'--workdir={known.workdir.absolute() / name}',
    ]
    codes.append(subprocess.run(command, cwd=_ROOT).returncode)
    if codes[-1] == os.EX_TEMPFAIL:
      break
  done = codes.count(0)
  print(f'sweep: {done} of {len(runs)} combinations are done.')
  sys.exit(next((code for code in codes if code), 0))


def combinations(
  grid: list[str], parser: argparse.ArgumentParser
) -> list[tuple[str, ...]]:
  """Each as settings KEY=VALUE; the last setting of the grid changes first."""
  axes = []
  for axis in grid:
    key, _, values = axis.partition('=')
    if not key or not all(values.split(',')):
      parser.error(f'--grid {axis}: write KEY=VALUE,VALUE,...')
    axes.append([f'{key}={value}' for value in values.split(',')])
  return list(itertools.product(*axes))


if __name__ == '__main__':
  main()
