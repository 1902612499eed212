"""The command line: python -m benchmarks.run [NAME ...] [--json FILE]."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from jaxunlearn import machine

# In the order in which they run; each gives results with `run`.
_NAMES = (
  'selection',
  'steps',
  'last_leaves',
  'job',
  'sweeps',
  'starting',
  'growth',
)


def main(argv: Sequence[str] | None = None) -> None:
  """Runs the benchmarks that are named, or all, and prints each result."""
  parser = argparse.ArgumentParser(
    prog='python -m benchmarks.run',
    description='Measures this library beside PyTorch and NumPy, in turns.',
  )
  parser.add_argument('name', nargs='*', help=', '.join((*_NAMES, 'job_full')))
  parser.add_argument('--json', metavar='FILE', help='write all of it there')
  parser.add_argument(
    '--quick',
    action='store_true',
    help='sizes that show that it runs, and nothing about speed',
  )
  options = parser.parse_args(argv)
  names = options.name or _NAMES
  for name in names:
    if name not in (*_NAMES, 'job_full'):
      parser.error(f'no benchmark {name}; there are {", ".join(_NAMES)}.')
  try:
    import torch
  except ImportError:
    parser.error("PyTorch is not installed: pip install -e '.[bench]'")
  machine.keep_memory()
  start, found = time.perf_counter(), []
  for name in names:
    for result in _benchmark(name)(options.quick):
      print(result.line(), flush=True)
      found.append({'benchmark': name, **result.to_json()})
  if options.json:
    Path(options.json).write_text(
      json.dumps(
        {
          'command': ' '.join(['python -m benchmarks.run', *sys.argv[1:]]),
          'quick': options.quick,
          'seconds': time.perf_counter() - start,
          'machine': {
            **machine.environment(),
            'torch': torch.__version__,
            'load': os.getloadavg(),
            **_rates(),
          },
          'results': found,
        },
        indent=2,
      )
      + '\n'
    )


def _benchmark(name: str):
  import importlib

  if name == 'job_full':
    return importlib.import_module('benchmarks.job').run_full
  return importlib.import_module(f'benchmarks.{name}').run


def _rates() -> dict[str, float]:
  from benchmarks import rates

  return {
    'matrix_operations_per_second': rates.matrix(),
    'copy_bytes_per_second': rates.copy(),
  }


if __name__ == '__main__':
  main()
