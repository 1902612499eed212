"""The whole job, from arrays to report, beside a PyTorch script of it."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import job_config, processes
from benchmarks.images import CLASSES
from benchmarks.result import Result

# Both sides are to have learned what they were to learn.
_LEARNED = 0.8


def run(quick: bool) -> Iterator[Result]:
  """Cut short: 1,280 images, two epochs, two rows. Shows that it runs."""
  yield from _job('quick' if quick else 'short')


def run_full(quick: bool) -> Iterator[Result]:
  """The size of configs/cifar10_small_topk.py; about half an hour."""
  yield from _job('quick' if quick else 'full')


def _job(size: str) -> Iterator[Result]:
  with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    file = write_images(size, folder)
    first, compiling = ours(size, file, folder / 'first')
    torch = _theirs(size, file, folder / 'accuracy.json')
    second, again = ours(size, file, folder / 'second')
    if size == 'full':
      _check(folder)
  for word, found, spent in (
    ('first', first, compiling),
    ('second', second, again),
  ):
    yield Result(
      f'job/{size}, {word} process',
      (found.seconds,),
      'PyTorch',
      (torch.seconds,),
      note=f'{spent:.3g} s of it compiling',
    )
  yield Result(
    f'job/{size}, without compiling',
    (second.seconds - again,),
    'PyTorch',
    (torch.seconds,),
    target=1.3,
  )
  yield Result(
    f'job/{size}, compiling in the second process',
    (again,),
    'in the first',
    (compiling,),
    target=0.2,
  )
  yield Result(
    f'job/{size}, peak memory',
    (float(second.peak),),
    'PyTorch',
    (float(torch.peak),),
    unit='bytes',
  )


def write_images(size: str, folder: Path) -> Path:
  """Noise, with a stripe that tells the class: easy, but to be learned."""
  train, test, *_ = job_config.SIZES[size]
  rng = np.random.default_rng(0)
  arrays = {}
  for part, count in (('train', train), ('test', test)):
    image = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    label = np.arange(count) % CLASSES
    for number in range(CLASSES):
      image[label == number, 3 * number : 3 * number + 3] //= 4
    arrays |= {f'x_{part}': image, f'y_{part}': label}
  file = folder / 'images.npz'
  np.savez(file, **arrays)
  return file


def ours(
  size: str, file: Path, workdir: Path, **environment: str
) -> tuple[processes.Run, float]:
  """The process, and the seconds of tracing and compiling in it."""
  found = processes.run(
    '-m',
    'benchmarks.compiling',
    f'--config=benchmarks/job_config.py:{size},{file}',
    f'--config.cache_dir={file.parent / "xla"}',
    f'--workdir={workdir}',
    **environment,
  )
  return found, float(found.said.split()[-1])


def _theirs(size: str, file: Path, out: Path) -> processes.Run:
  arguments = (size, str(file), str(out))
  return processes.run(
    '-m', 'benchmarks.torch_job', *arguments, **processes.HEAP
  )


def _check(folder: Path) -> None:
  """Checks that both sides trained models that know their training set.

  Raises:
    RuntimeError: one does not.
  """
  report = json.loads((folder / 'second' / 'report.json').read_text())
  theirs = json.loads((folder / 'accuracy.json').read_text())
  for name in ('original', 'retrained'):
    ours = report['models'][name]['accuracy']['retain']
    if min(ours, theirs[name]['retain']) < _LEARNED:
      raise RuntimeError(
        f'{name} has {ours:.2f} on retain here and '
        f'{theirs[name]["retain"]:.2f} in PyTorch: they did not do one job.'
      )
