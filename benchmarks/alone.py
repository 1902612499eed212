"""One side of a benchmark by itself: python -m benchmarks.alone CASE SIDE SIZE.

CASE is steps or selection, SIDE ours or theirs, SIZE full or quick. Prints by
how many bytes the work, run three times, raised the memory of the process.
"""

import re
import sys
from pathlib import Path

import jax

from benchmarks import selection, steps
from jaxunlearn import machine


def main(case: str, side: str, size: str) -> None:
  """Runs it."""
  machine.keep_memory()
  quick = size == 'quick'
  if case == 'steps':
    ours, theirs = steps.sides(*((4, 8) if quick else (16, 128)), 0.1, False)
  else:
    gradient = selection.gradient_of(4 if quick else 64)
    k = sum(x.size for x in gradient.values()) // 20
    ours = selection.ours_on(gradient, k)
    theirs = selection.theirs_on(gradient, k)['torch.topk']
  work = ours if side == 'ours' else theirs
  # From here on the peak is counted anew.
  Path('/proc/self/clear_refs').write_text('5')
  before = _bytes('VmRSS')
  for _ in range(3):
    jax.block_until_ready(work())
  print(_bytes('VmHWM') - before)


def _bytes(name: str) -> int:
  status = Path('/proc/self/status').read_text()
  return 1024 * int(re.search(rf'{name}:\s+(\d+)', status)[1])


if __name__ == '__main__':
  main(*sys.argv[1:])
