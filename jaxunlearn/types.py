"""The nouns of the library: what an unlearning problem is made of."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax

__all__ = [
  'Array',
  'Batch',
  'Context',
  'Count',
  'Mask',
  'Model',
  'Params',
  'PyTree',
  'Resident',
  'Scores',
  'Selection',
  'Source',
  'State',
  'Task',
  'Variables',
  'as_pytree',
  'as_source',
  'traced',
  'with_sources',
]

Array = jax.Array
PyTree = Any

Params = optax.Params
"""A pytree of floating-point arrays, the leaves that are trained."""

Variables = Mapping[str, PyTree]
"""All that a network holds: `params`, and such as `batch_stats`."""

Mask = PyTree
"""The structure of the parameters; boolean leaves, True = selected.

Each leaf broadcasts to its parameter: shape () speaks for the whole leaf, the
parameter's own shape for each scalar.
"""

Scores = PyTree
"""Structure and shapes of the parameters, float; larger = more selected."""

Batch = Mapping[str, Array]
"""Arrays with a common first axis.

`image` [n, height, width, channels], uint8 or float in [0, 1]; `label` [n],
integer. One that was taken from a `Source` may have `index` [n] int32, the
positions there; one that serves as a `Source` may have `weight` [n], 0 for
rows that are padding and not to be read.
"""


@runtime_checkable
class Source(Protocol):
  """Examples that can be counted and taken by position.

  A `Batch` serves wherever a `Source` is asked for.
  """

  def __len__(self) -> int: ...

  def take(self, indices: Array) -> Batch:
    """Examples at `indices` [n]: `image` and `label`."""
    ...


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Resident:
  """A `Source` held in memory whole; a pytree, so it passes through jit.

  Attributes:
    image: [n, height, width, channels], uint8 or float in [0, 1]; or a tuple
      of arrays [n, ...], for a model of `features.split`.
    label: [n] int32.
    sharding: how what is taken lies on devices, where it divides evenly by
      them; None: as JAX has it.
  """

  image: Array | tuple[Array, ...]
  label: Array
  sharding: jax.sharding.NamedSharding | None = dataclasses.field(
    default=None, metadata={'static': True}
  )

  def __len__(self) -> int:
    return self.label.shape[0]

  def __getitem__(self, name: str) -> Array:
    """`image` or `label`, as of the batch it was made of."""
    if name not in ('image', 'label'):
      raise KeyError(name)
    return getattr(self, name)

  def take(self, indices: Array) -> Batch:
    """Examples at `indices`, which may be traced and must be in range."""
    indices = jnp.asarray(indices, jnp.int32)
    if self.sharding and len(indices) % self.sharding.num_devices == 0:
      indices = jax.lax.with_sharding_constraint(indices, self.sharding)
    return {
      'image': jax.tree.map(lambda x: x[indices], self.image),
      'label': self.label[indices],
      'index': indices,
    }


def as_source(source: Source | Batch) -> Source:
  """The source itself, or a batch as the source it stands for.

  Rows of weight 0 are left out.

  Example:
    >>> image = jnp.zeros((3, 2, 2, 1))
    >>> batch = {'image': image, 'label': [5, 7, 0], 'weight': [1, 1, 0]}
    >>> as_source(batch)['label'].tolist()
    [5, 7]

  Raises:
    ValueError: a batch without `image` and `label`, of unequal lengths or of
      no examples, with labels that are not integers, or with weights that are
      traced.
  """
  if not isinstance(source, Mapping):
    return source
  if not {'image', 'label'} <= set(source):
    raise ValueError(
      f'a batch needs image and label; this one has {sorted(source)}.'
    )
  image = _on_device(source['image'])
  label = jnp.asarray(source['label'])
  if label.shape != image.shape[:1]:
    raise ValueError(
      'a batch needs one label for each image; these have shapes '
      f'{image.shape} and {label.shape}.'
    )
  if label.size and jnp.issubdtype(label.dtype, jnp.inexact):
    raise ValueError(f'labels are integers; these are {label.dtype}.')
  if 'weight' in source:
    kept = _kept(source['weight'], label.shape)
    if not kept.all():
      image, label = image[kept], label[kept]
  if not label.size:
    raise ValueError('a batch needs at least one example; this one has none.')
  return Resident(image, label.astype(jnp.int32))


def _on_device(image: Array) -> Array:
  """As jnp.asarray does, which makes two copies of what NumPy holds."""
  if isinstance(image, np.ndarray):
    # Once it is there, NumPy's may change.
    return jax.block_until_ready(jax.device_put(image, may_alias=False))
  return jnp.asarray(image)


def _kept(weight: Array, shape: tuple[int, ...]) -> np.ndarray:
  if traced(weight):
    raise ValueError(
      'the weights of a batch say how many examples it has, so they cannot be '
      'traced; call as_source outside of jit.'
    )
  weight = np.asarray(weight)
  if weight.shape != shape:
    raise ValueError(
      'a batch needs one weight for each label; these have shapes '
      f'{weight.shape} and {shape}.'
    )
  return weight != 0


class Model(NamedTuple):
  """A network as three pure functions.

  Attributes:
    init: (key, image) -> variables, for a batch of images.
    apply: (variables, image, train, key=None) -> (logits [n, classes],
      variables). Images are uint8 (divided by 255) or float in [0, 1]. With
      `train` the returned variables hold the new batch statistics; without,
      they are those given.
    order: (params) -> paths such as ('conv1', 'kernel'), one for each leaf, in
      the order in which the network applies them.
  """

  init: Callable[..., Variables]
  apply: Callable[..., tuple[Array, Variables]]
  order: Callable[[Params], tuple[tuple[str, ...], ...]]


class Task(NamedTuple):
  """What is to be forgotten, by whom.

  The parts of a method see `forget` and `retain` as a `Source` each: a batch as
  a `Resident`, whose arrays are also `task.forget['image']` and
  `task.forget['label']`.

  Attributes:
    model: the network.
    original: its variables, trained on forget and retain together.
    forget: the examples to be forgotten (the paper's D_UL).
    retain: the rest of the training set (the paper's D_RE).
  """

  model: Model
  original: Variables
  forget: Source | Batch
  retain: Source | Batch


def as_pytree(function: Callable) -> jax.tree_util.Partial:
  """The function itself, or a plain one as a pytree without leaves."""
  if isinstance(function, jax.tree_util.Partial):
    return function
  return jax.tree_util.Partial(function)


def traced(x: Any) -> bool:
  """Whether a number is data of a compiled program, and not yet known."""
  return isinstance(x, jax.core.Tracer)


def with_sources(task: Task) -> Task:
  """The task with its batches as the sources that they stand for."""
  return task._replace(
    forget=as_source(task.forget), retain=as_source(task.retain)
  )


class Selection(NamedTuple):
  """Which entries of the parameters, and by which scores if by any."""

  mask: Mask
  scores: Scores | None = None


class Count(NamedTuple):
  """How many entries a mask selects.

  Attributes:
    scalars: entries.
    leaves: parameter arrays with at least one selected entry.
  """

  scalars: Array
  leaves: Array


class Context(NamedTuple):
  """What a loss may look at besides logits and labels.

  Attributes:
    teachers: {name: logits [n, classes]} of frozen models on the same batch.
    key: a key of its own, different in each step.
    step: [] int32, the number of steps taken.
  """

  teachers: Mapping[str, Array]
  key: Array
  step: Array


class State(NamedTuple):
  """Everything that changes while a model trains; a pytree.

  Attributes:
    variables: the model's variables.
    opt_state: of the optax transformation.
    mask: True where an entry of the parameters may change.
    step: [] int32, the number of steps taken.
    key: the key from which each step derives its own, by `step`.
  """

  variables: Variables
  opt_state: optax.OptState
  mask: Mask
  step: Array
  key: Array
