"""The command line: python -m benchmarks.run [NAME ...] [--json FILE]."""

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
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
# These take a quarter of an hour and more, say nothing about PyTorch, take a
# step apart or want a GPU.
_ASKED_FOR = (
  'job_full',
  'scaling',
  'seconds',
  'step_parts',
  'accelerator',
  'accelerator_selection',
)
# Load of a machine with nothing to do.
_IDLE = 0.3


def main(argv: Sequence[str] | None = None) -> None:
  """Runs the benchmarks that are named, or all, and prints each result."""
  parser = argparse.ArgumentParser(
    prog='python -m benchmarks.run',
    description='Measures this library beside PyTorch and NumPy, in turns.',
  )
  parser.add_argument('name', nargs='*', help=', '.join((*_NAMES, *_ASKED_FOR)))
  parser.add_argument('--json', metavar='FILE', help='write all of it there')
  parser.add_argument(
    '--quick',
    action='store_true',
    help='sizes that show that it runs, and nothing about speed',
  )
  options = parser.parse_args(argv)
  names = options.name or _NAMES
  for name in names:
    if name not in (*_NAMES, *_ASKED_FOR):
      parser.error(f'no benchmark {name}; there are {", ".join(_NAMES)}.')
  try:
    import torch
  except ImportError:
    parser.error("PyTorch is not installed: pip install -e '.[bench]'")
  machine.keep_memory()
  load = os.getloadavg()
  if load[0] > _IDLE:
    print(f'The machine is at work (load {load[0]:.2f}): ratios will be off.')
  record = {
    'command': ' '.join(['python -m benchmarks.run', *sys.argv[1:]]),
    'quick': options.quick,
    'machine': {
      **machine.environment(),
      'python': platform.python_version(),
      'numpy': importlib.metadata.version('numpy'),
      'torch': torch.__version__,
      'torch_threads': torch.get_num_threads(),
      'memory_bytes': os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'),
      'load_before': load,
      **_rates(),
    },
    'results': [],
  }
  start = time.perf_counter()
  for name in names:
    before = time.perf_counter()
    for result in _benchmark(name)(options.quick):
      print(result.line(), flush=True)
      record['results'].append(
        {
          'benchmark': name,
          **result.to_json(),
          'peak_memory_bytes': _most_memory(),
        }
      )
      record['seconds'] = time.perf_counter() - start
      if options.json:
        # After each, so that what comes later takes nothing away.
        text = json.dumps(record, indent=2)
        Path(options.json).write_text(text + '\n')
    print(f'{name}: {time.perf_counter() - before:.0f} s in all', flush=True)


def _benchmark(name: str):
  if name == 'job_full':
    return importlib.import_module('benchmarks.job').run_full
  return importlib.import_module(f'benchmarks.{name}').run


def _most_memory() -> int | None:
  """Bytes that this process held at most since it was asked before.

  Of both sides, and of what is kept from cases before. None where there is no
  Linux to tell.
  """
  try:
    status = Path('/proc/self/status').read_text()
    # Begins anew.
    Path('/proc/self/clear_refs').write_text('5')
  except OSError:
    return None
  (line,) = (x for x in status.splitlines() if x.startswith('VmHWM'))
  return 1024 * int(line.split()[1])


def _rates() -> dict[str, float]:
  from benchmarks import rates

  return {
    'matrix_operations_per_second': rates.matrix(),
    'copy_bytes_per_second': rates.copy(),
    'read_bytes_per_second': rates.read(),
  }


if __name__ == '__main__':
  main()
