"""The whole job, from arrays to report, beside a PyTorch script of it."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import job_config, processes
from benchmarks.result import Result


def run(quick: bool) -> Iterator[Result]:
  """Cut short: 1,280 images, two epochs, two rows."""
  yield from _job('quick' if quick else 'short', rounds=1)


def run_full(quick: bool) -> Iterator[Result]:
  """The size of configs/cifar10_small_topk.py; about half an hour."""
  yield from _job('quick' if quick else 'full', rounds=1)


def _job(size: str, rounds: int) -> Iterator[Result]:
  first, second, torch, compiled = [], [], [], []
  for _ in range(rounds):
    with tempfile.TemporaryDirectory() as name:
      folder = Path(name)
      file = _write_images(size, folder)
      first.append(_ours(size, file, folder / 'first'))
      second.append(_ours(size, file, folder / 'second'))
      arguments = (size, str(file), str(folder / 'accuracy.json'))
      torch.append(processes.run('-m', 'benchmarks.torch_job', *arguments))
      compiled.append([_compiling(folder / x) for x in ('first', 'second')])
  theirs = tuple(x.seconds for x in torch)
  for word, runs, column in (('first', first, 0), ('second', second, 1)):
    seconds = tuple(x.seconds for x in runs)
    yield Result(
      f'job/{size}, {word} process',
      seconds,
      'PyTorch',
      theirs,
      target=1.3,
      note=f'{compiled[0][column]:.3g} s of it compiling',
    )
  yield Result(
    f'job/{size}, compiling in the second process',
    tuple(x[1] for x in compiled),
    'in the first',
    tuple(x[0] for x in compiled),
    target=0.2,
  )
  yield Result(
    f'job/{size}, peak memory',
    tuple(float(x.peak) for x in second),
    'PyTorch',
    tuple(float(x.peak) for x in torch),
    unit='bytes',
  )


def _write_images(size: str, folder: Path) -> Path:
  count = job_config.SIZES[size][0]
  rng = np.random.default_rng(0)
  arrays = {}
  for part, number in (('train', count), ('test', count)):
    shape = (number, 32, 32, 3)
    arrays[f'x_{part}'] = rng.integers(0, 256, shape, dtype=np.uint8)
    arrays[f'y_{part}'] = np.arange(number) % 10
  file = folder / 'images.npz'
  np.savez(file, **arrays)
  return file


def _ours(size: str, file: Path, workdir: Path) -> processes.Run:
  return processes.run(
    '-m',
    'jaxunlearn.launch',
    f'--config=benchmarks/job_config.py:{size},{file}',
    f'--config.cache_dir={file.parent / "xla"}',
    f'--workdir={workdir}',
  )


def _compiling(workdir: Path) -> float:
  report = json.loads((workdir / 'report.json').read_text())
  return sum(
    model['seconds']['compile'] or 0.0 for model in report['models'].values()
  )
