"""The problem that a run works on: data, request and network."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxunlearn import (
  fingerprint,
  memory,
  mesh,
  nested,
  normalisation,
  settings,
)
from jaxunlearn.data import requests, sources, splits
from jaxunlearn.data.stored import Stored
from jaxunlearn.data.streams import Stream
from jaxunlearn.errors import InputError, Interrupted
from jaxunlearn.hosts import any_of
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

Load = Callable[[str, str, str], sources.Dataset]


class Problem(NamedTuple):
  """What is fixed before anything is trained.

  Attributes:
    request: what is to be forgotten.
    forget: those examples, on the device; or all three are read when needed.
    retain: the rest of the training examples.
    test: never trained on.
    train: forget and retain together, in an order of their own, so that the
      original depends on no request; not on the device yet.
    model: the network, which normalises its images.
    facts: {name: value} that every stage depends on.
    description: `request` of the report.
    mesh: of the devices, where there are several.
  """

  request: requests.Request
  forget: Resident | Stream
  retain: Resident | Stream
  test: Resident | Stream
  train: splits.Part
  model: Model
  facts: Mapping[str, Any]
  description: Mapping[str, Any]
  mesh: Mesh | None

  @property
  def splits(self) -> dict[str, Resident | Stream]:
    """The three by name."""
    return {'forget': self.forget, 'retain': self.retain, 'test': self.test}

  @property
  def resident(self) -> bool:
    """Whether the examples are on the device."""
    return isinstance(self.retain, Resident)

  def everything(self) -> Resident | Stream:
    """`train`, as the others."""
    return _source(self.mesh, self.train)

  def place(self, tree: PyTree) -> PyTree:
    """A model, or what trains one, on the devices."""
    return mesh.place(self.mesh, tree)

  def like(self) -> Variables:
    """Shapes and dtypes of the network's variables, and where they lie."""
    image = self.test.take(np.zeros(1, np.int32))['image']
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
    if any(any_of(self.noted())):
      raise Interrupted(where)


def prepare(config: Any, load: Load = sources.load) -> Problem:
  """Loads the data, resolves the request and makes the network.

  Args:
    config: the settings.
    load: (source, dir, stream) -> data set, as `sources.load`.

  Raises:
    InputError: a mistake in `config.data`, `config.forget` or the files that
      they name.
  """
  data, forget = config.data, config.forget.to_dict()
  devices = mesh.make(config.mesh.data, config.mesh.model)
  dataset = load(data.source, data.dir, data.stream)
  if not isinstance(dataset.x_train, Stored):
    copies = 1 + 2 * _in_memory(devices)
    memory.check_fits(
      f'{dataset.name[:200]}, as it came and {copies - 1} times in splits,',
      copies * (dataset.x_train.nbytes + dataset.x_test.nbytes),
    )
  train_positions, test_positions = splits.subset(
    dataset, data.num_train, data.num_test, data.seed
  )
  request = requests.resolve(
    forget, dataset.y_train, train_positions, dataset.num_classes
  )
  parts = splits.split(dataset, train_positions, test_positions, request)
  channels = dataset.x_train.shape[-1]
  before = normalisation.made_from(config.original.checkpoint)
  mean, std = normalisation.choose(data, parts.train['image'], channels, before)
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
    name: _source(devices, getattr(parts, name))
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


def _in_memory(devices: Mesh | None) -> int:
  """How often what lies on every device is in the memory of this host."""
  if devices is None or jax.default_backend() != 'cpu':
    return 1
  return len(devices.local_devices)


def _source(devices: Mesh | None, part: splits.Part) -> Resident | Stream:
  """On the device; or read when it is needed, where it is on disk."""
  if isinstance(part['image'], Stored):
    return mesh.spread(devices, Stream(part['image'], part['label']))
  return mesh.spread(devices, as_source(part))


def _network(
  config: Any, dataset: sources.Dataset, mean: tuple, std: tuple
) -> Model:
  """The network, after a trial on the shape of an image."""
  try:
    model = settings.network(config, dataset.num_classes, mean, std)
    jax.eval_shape(
      model.init, jax.random.key(0), dataset.x_test[np.zeros(1, np.int32)]
    )
  except ValueError as error:
    raise InputError(
      f'model.name {config.model.name} cannot be: {error}'
    ) from error
  return model
