"""The problem that a run works on: data, request and network."""

import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxunlearn import (
  checks,
  files,
  fingerprint,
  memory,
  mesh,
  nested,
  settings,
)
from jaxunlearn.data import moments, requests, sources, splits
from jaxunlearn.errors import InputError, Interrupted, Unavailable
from jaxunlearn.progress import Progress
from jaxunlearn.stage import Stage
from jaxunlearn.types import (
  Array,
  Model,
  PyTree,
  Resident,
  Variables,
  as_source,
)
from jaxunlearn.workdir import Workdir

__all__ = ['Load', 'Problem', 'Run', 'named_key', 'prepare']

# Of the images at once, at most: as they came, and all splits twice.
_COPIES = 3

Load = Callable[[str, str], sources.Dataset]


class Problem(NamedTuple):
  """What is fixed before anything is trained.

  Attributes:
    request: what is to be forgotten.
    forget: those examples, on the device.
    retain: the rest of the training examples.
    test: never trained on.
    train: forget and retain together, in an order of their own, so that the
      original depends on no request; not on the device.
    model: the network, which normalises its images.
    facts: {name: value} that every stage depends on.
    description: `request` of the report.
    mesh: of the devices, where there are several.
  """

  request: requests.Request
  forget: Resident
  retain: Resident
  test: Resident
  train: Mapping[str, np.ndarray]
  model: Model
  facts: Mapping[str, Any]
  description: Mapping[str, Any]
  mesh: Mesh | None

  @property
  def splits(self) -> dict[str, Resident]:
    """The three by name."""
    return {'forget': self.forget, 'retain': self.retain, 'test': self.test}

  def everything(self) -> Resident:
    """`train`, on the device."""
    return mesh.spread(self.mesh, as_source(self.train))

  def place(self, tree: PyTree) -> PyTree:
    """A model, or what trains one, on the devices."""
    return mesh.place(self.mesh, tree)

  def like(self) -> Variables:
    """Shapes and dtypes of the network's variables, and where they lie."""
    image = self.test.image[:1]
    found = jax.eval_shape(self.model.init, jax.random.key(0), image)
    return mesh.like(self.mesh, found)


class Run(NamedTuple):
  """What every stage of a run looks at.

  Attributes:
    config: the settings.
    problem: the data, the request and the network.
    work: where results go.
    stages: {model: Stage}, in the order of the report.
    progress: where to say what happens.
    noted: () -> whether the run was told to stop.
  """

  config: Any
  problem: Problem
  work: Workdir
  stages: Mapping[str, Stage]
  progress: Progress
  noted: Callable[[], bool] = lambda: False

  def check_stop(self, where: str) -> None:
    """Stops between two pieces of work, when the run was told to.

    Args:
      where: said of it, half a sentence.

    Raises:
      Interrupted: a signal came.
    """
    if self.noted():
      raise Interrupted(where)


def prepare(config: Any, load: Load = sources.load) -> Problem:
  """Loads the data, resolves the request and makes the network.

  Args:
    config: the settings.
    load: (source, dir) -> data set.

  Raises:
    InputError: a mistake in `config.data`, `config.forget` or the files that
      they name.
  """
  data, forget = config.data, config.forget.to_dict()
  devices = mesh.make(config.mesh.data, config.mesh.model)
  dataset = load(data.source, data.dir)
  memory.check_fits(
    f'{dataset.name[:200]}, once as it came and twice in splits,',
    _COPIES * (dataset.x_train.nbytes + dataset.x_test.nbytes),
  )
  train_positions, test_positions = splits.subset(
    dataset, data.num_train, data.num_test, data.seed
  )
  request = requests.resolve(
    forget, dataset.y_train, train_positions, dataset.num_classes
  )
  parts = splits.split(dataset, train_positions, test_positions, request)
  channels = dataset.x_train.shape[-1]
  before = _made_from(config.original.checkpoint)
  mean, std = _normalisation(data, parts.train['image'], channels, before)
  depends = {
    'random': ('fraction', 'seed'),
    'mislabelled': ('fraction', 'seed'),
    'class': ('classes',),
  }.get(request.kind, ())
  hashes = {
    'dataset_sha256': sources.sha256(dataset),
    'forget_sha256': fingerprint.sha256({'indices': request.positions}),
  }
  if (
    request.kind == 'mislabelled'
    and config.original.checkpoint
    and before.get('forget_sha256') != hashes['forget_sha256']
  ):
    raise InputError(
      'forget.kind is mislabelled, which flips labels before training, but '
      'original.checkpoint was not trained on them: leave original.checkpoint '
      'empty, or give the workdir that was.'
    )
  spread = {
    name: mesh.spread(devices, as_source(getattr(parts, name)))
    for name in ('forget', 'retain', 'test')
  }
  return Problem(
    request=request,
    **spread,
    train=parts.train,
    model=mesh.gathered(devices, _network(config, dataset, mean, std)),
    facts={
      **hashes,
      **{f'data.{k}': data[k] for k in ('num_train', 'num_test', 'seed')},
      'data.mean': mean,
      'data.std': std,
      **nested.flat({'model': config.model.to_dict()}),
      'forget.kind': request.kind,
      **{f'forget.{name}': forget[name] for name in depends},
    },
    description={
      'dataset': dataset.name,
      **hashes,
      'num_train': len(train_positions),
      'num_test': len(test_positions),
      'num_forget': len(request.positions),
      'forget_fraction': len(request.positions) / len(train_positions),
      'seed': forget['seed'],
    },
    mesh=devices,
  )


def named_key(seed: int, name: str) -> Array:
  """The key of a part of the run: keys are split once, by name."""
  return jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))


def _network(
  config: Any, dataset: sources.Dataset, mean: tuple, std: tuple
) -> Model:
  """The network, after a trial on the shape of an image."""
  try:
    model = settings.network(config, dataset.num_classes, mean, std)
    jax.eval_shape(model.init, jax.random.key(0), dataset.x_test[:1])
  except ValueError as error:
    raise InputError(
      f'model.name {config.model.name} cannot be: {error}'
    ) from error
  return model


def _made_from(checkpoint: str) -> Mapping[str, Any]:
  """What the original of a finished workdir was made from; else nothing."""
  path = files.expand(checkpoint)
  for folder in (path / 'original', path):
    # Unlike Path.is_file, it is False too where one may not look.
    if checkpoint and os.path.isfile(folder / 'result.json'):
      return _recorded(folder / 'result.json')
  return {}


def _recorded(path: Path) -> Mapping[str, Any]:
  """What an original was made from, if a run like this has written it."""
  try:
    before = files.read_json(path).get('made_from')
  except Unavailable:
    raise
  except InputError:
    before = None
  moments = [
    isinstance(before, dict) and before.get(name)
    for name in ('data.mean', 'data.std')
  ]
  if not all(
    isinstance(x, list) and x and all(map(checks.is_number, x)) for x in moments
  ):
    raise InputError(
      f'{path} says nothing of how that original was trained: give a folder '
      'with the checkpoint alone, or another copy of the workdir.'
    )
  return before


def _normalisation(
  data: Any, images: np.ndarray, channels: int, before: Mapping[str, Any]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Mean and standard deviation of each channel, of images in [0, 1].

  Those given; else those that a workdir's original was trained with; else the
  training set's own.
  """
  known = [before.get(name) for name in ('data.mean', 'data.std')]
  if data.mean:
    given = [list(data.mean), list(data.std)]
    for name, numbers in zip(('mean', 'std'), given, strict=True):
      if len(numbers) not in (1, channels):
        raise InputError(
          f'data.{name} has {len(numbers)} numbers, but the images have '
          f'{channels} channel(s): give one for each, or one for all.'
        )
    if before and given != known:
      raise InputError(
        'data.mean and data.std are not those that original.checkpoint was '
        f'trained with, {known[0]} and {known[1]}: leave both empty.'
      )
    return tuple(data.mean), tuple(data.std)
  if before:
    return tuple(known[0]), tuple(known[1])
  mean, std = moments.per_channel(images)
  if not (std > 0).all():
    raise InputError(
      f'channel {int(np.argmin(std))} of the training images is constant, so '
      'it cannot be normalised by its own deviation: give data.mean and '
      'data.std.'
    )
  return tuple(mean.tolist()), tuple(std.tolist())
