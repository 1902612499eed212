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
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      wall = timing.seconds(work)
    (file,) = Path(folder).rglob('*.xplane.pb')
    found = _kernels(file)
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


def _kernels(file: Path) -> dict[str, tuple[int, float]]:
  found = collections.defaultdict(lambda: (0, 0.0))
  for plane in jax.profiler.ProfileData.from_file(str(file)).planes:
    if not plane.name.startswith('/device:GPU'):
      continue
    for line in plane.lines:
      # The others tell of the same time again, by operation and by module.
      if not line.name.startswith('Stream'):
        continue
      for event in line.events:
        count, seconds = found[event.name]
        found[event.name] = count + 1, seconds + event.duration_ns / 1e9
  return dict(found)
