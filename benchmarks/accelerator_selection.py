"""On one GPU: exact Top-K masks, beside `torch.topk` and what their bytes need.

Wants XLA_PYTHON_CLIENT_PREALLOCATE=false, so that PyTorch has memory too.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp

from benchmarks import kernels, rates, selection, timing
from benchmarks.result import Result
from jaxunlearn import masks
from tests import passes

_TRACES = 9


def run(quick: bool) -> Iterator[Result]:
  """ResNet18's leaves at widths 64 and 192: 11 and 101 million scalars."""
  for width in (4,) if quick else (64, 192):
    gradient = selection.gradient_of(width)
    size = sum(x.size for x in gradient.values())
    name = f'selection/{size / 1e6:.3g} M'
    for share, k in (('45', 45), ('5 %', round(0.05 * size))):
      ours = selection.ours_on(gradient, k)
      theirs = selection.theirs_on(gradient, k)['torch.topk']
      first, second = timing.pairs(ours, theirs, 11)
      # The gradient is read, its scores written as one array, read in each
      # pass, for a first guess and for the mask, which takes a byte.
      with passes.counted() as found:
        masks.top_k(jax.tree.map(jnp.abs, gradient), k)
      floor = (4 * (found[-1] + 4) + 1) * size / rates.copy()
      case = f'{name}, k = {share}'
      note = f'passes that move the bound: {found[-1]}'
      yield Result(case, first, 'torch.topk', second, floor=floor, note=note)
      yield _beside_its_bytes(
        f'{case}, from the call to the masks', first, floor
      )
      call = functools.partial(_compared, gradient)
      first, second = timing.pairs(ours, call, 11)
      yield Result(case, first, 'each array compared, in one call', second)
      spans = tuple(kernels.span(ours) for _ in range(_TRACES))
      if None in spans:
        print(f'{case}: the profiler told of no kernels.')
      else:
        name_of_span = f'{case}, from the first kernel to the end of the last'
        yield _beside_its_bytes(name_of_span, spans, floor)


def _beside_its_bytes(
  name: str, seconds: tuple[float, ...], floor: float
) -> Result:
  needed = (floor,) * len(seconds)
  return Result(
    name, seconds, 'what the bytes of its passes need', needed, target=4.0
  )


@jax.jit
def _compared(gradient: dict) -> dict:
  return jax.tree.map(lambda x: jnp.abs(x) >= 1, gradient)
