"""What a GPU does in a step, by kind of kernel, as the profiler tells it."""

import collections
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from benchmarks import timing
from benchmarks.result import Result

# By the names that cuDNN, cuBLAS, Triton and XLA give; the first that fits.
_KINDS = {
  'convolutions and products': (
    r'conv(?!ert)|prop|grad|xmma|cudnn|cutlass|gemm|nvjet'
  ),
  'sums': r'reduce|reduction',
  'copies': r'copy|memcpy|memset|transpose|slice|gather|concatenate',
  'all else': '',
}


def run(name: str, work: Callable[[], Any], steps: int) -> Iterator[Result]:
  """The share of each kind, where there is a GPU.

  Args:
    name: of the case.
    work: takes `steps` steps.
    steps: how many.
  """
  if jax.default_backend() != 'gpu':
    return
  wall, events = _traced(work)
  found = collections.defaultdict(lambda: (0, 0.0))
  for kernel, start, end in events:
    count, seconds = found[kernel]
    found[kernel] = count + 1, seconds + end - start
  if not found:
    print(f'{name}: the profiler told of no kernels.')
    return
  whole = sum(seconds for _, seconds in found.values())
  per_step = sum(count for count, _ in found.values()) / steps
  yield Result(
    f'{name}, kernels',
    (whole / steps,),
    'a step under the profiler',
    (wall / steps,),
    note=f'{per_step:.0f} kernels a step',
  )
  for kind, (seconds, largest) in by_kind(found).items():
    yield Result(
      f'{name}, {kind}',
      (seconds / steps,),
      'all kernels',
      (whole / steps,),
      note=largest,
    )


def span(work: Callable[[], Any]) -> float | None:
  """Seconds of a call from its first kernel's start to its last one's end.

  None where there is no GPU, or its profiler tells of no kernels.
  """
  if jax.default_backend() != 'gpu':
    return None
  _, events = _traced(work)
  if not events:
    return None
  return max(end for *_, end in events) - min(start for _, start, _ in events)


def by_kind(
  kernels: Mapping[str, tuple[int, float]],
) -> dict[str, tuple[float, str]]:
  """{kind: (seconds, its largest kernels in words, of all steps together)}.

  Args:
    kernels: {name: (how often, seconds)}.
  """
  sums, names = collections.Counter(), collections.defaultdict(list)
  for name, (count, seconds) in sorted(
    kernels.items(), key=lambda item: -item[1][1]
  ):
    kind = next(k for k, v in _KINDS.items() if re.search(v, name.lower()))
    sums[kind] += seconds
    if len(names[kind]) < 3:
      names[kind].append(f'{name[:60]} {1e3 * seconds:.2f} ms, {count} times')
  return {kind: (sums[kind], '; '.join(names[kind])) for kind in sums}


def _traced(
  work: Callable[[], Any],
) -> tuple[float, list[tuple[str, float, float]]]:
  """Seconds of a call, and each kernel's name, start and end in seconds."""
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      wall = timing.seconds(work)
    (file,) = Path(folder).rglob('*.xplane.pb')
    return wall, [
      (event.name, event.start_ns / 1e9, event.end_ns / 1e9)
      for plane in jax.profiler.ProfileData.from_file(str(file)).planes
      if plane.name.startswith('/device:GPU')
      for line in plane.lines
      # The others tell of the same time again, by operation and by module.
      if line.name.startswith('Stream')
      for event in line.events
    ]
