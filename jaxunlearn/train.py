"""One training loop for every model: original, retrained and unlearned."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import optax

from jaxunlearn import objectives, once, partition
from jaxunlearn.loop import run, run_many, steps_per_call
from jaxunlearn.step import Augment, Metrics, Step, make_step
from jaxunlearn.types import (
  Array,
  Batch,
  Mask,
  Model,
  Source,
  State,
  Variables,
  as_source,
)

__all__ = [
  'begin',
  'fit',
  'fit_many',
  'init',
  'make_step',
  'run',
  'run_many',
  'steps_per_call',
]


def begin(
  model: Model,
  source: Source | Batch,
  key: Array,
  tx: optax.GradientTransformation,
) -> State:
  """The state from which `fit` starts.

  Args:
    model: the network.
    source: n examples.
    key: as in `fit`.
    tx: the optimizer.
  """
  return _begin(model, as_source(source), key, tx)[0]


def fit(
  model: Model,
  source: Source | Batch,
  key: Array,
  *,
  num_steps: int,
  batch_size: int,
  tx: optax.GradientTransformation,
  augment: Augment | None = None,
  state: State | None = None,
) -> Iterator[tuple[State, Metrics]]:
  """Trains a model from scratch, with cross entropy.

  Args:
    model: the network.
    source: n examples.
    key: of the initialisation, the shuffling and the augmentation.
    num_steps: steps to take; an epoch is max(1, n // batch_size) of them.
    batch_size: examples in a step.
    tx: the optimizer.
    augment: (key, images) -> images of the same shape, on the device.
    state: where to go on, of a run with these arguments; None: at the
      beginning.

  Yields:
    (state, metrics) after each XLA call: the means over its steps of `loss`,
    `train/cross_entropy` and `train/accuracy`.
  """
  source = as_source(source)
  if state is None:
    state, _ = _begin(model, source, key, tx)
  steps = run(
    _fitting(model, tx, augment),
    state,
    {'train': source},
    _keys(key)[1],
    num_steps=num_steps,
    batch_size=batch_size,
  )
  # What it was would stay in memory for as long as steps are taken.
  del state
  yield from steps


def fit_many(
  model: Model,
  source: Source | Batch,
  keys: Array,
  *,
  num_steps: int,
  batch_size: int,
  tx: optax.GradientTransformation,
  augment: Augment | None = None,
) -> State:
  """Trains a model from scratch for each key, as `fit` does.

  Args:
    model: the network.
    source: n examples.
    keys: [models], each as `fit` takes it.
    num_steps: steps that each takes.
    batch_size: examples of one model in a step.
    tx: the optimizer.
    augment: as in `fit`.

  Returns:
    The last state of each, stacked; see `run_many`.
  """
  source = as_source(source)
  states, orders = zip(
    *(_begin(model, source, key, tx) for key in keys), strict=True
  )
  return run_many(
    _fitting(model, tx, augment),
    states,
    {'train': source},
    orders,
    num_steps=num_steps,
    batch_size=batch_size,
  )


def init(
  variables: Variables,
  mask: Mask,
  tx: optax.GradientTransformation,
  key: Array,
  moving: tuple[bool, ...] | None = None,
) -> State:
  """The state before the first step.

  Args:
    variables: the model's; copied, so that the state's buffers are its own.
    mask: True where the parameters may change.
    tx: the optimizer.
    key: from which each step derives its own.
    moving: the leaves that the optimizer keeps state of, as in `partition`;
      None: all.

  Returns:
    The state.
  """
  variables = jax.tree.map(jnp.copy, variables)
  opt_state = tx.init(partition.split(variables['params'], moving)[0])
  return State(variables, opt_state, mask, jnp.zeros((), jnp.int32), key)


def _begin(
  model: Model, source: Source, key: Array, tx: optax.GradientTransformation
) -> tuple[State, Array]:
  """A model before its first step, and the key of its shuffling."""
  key_init, key_order, key_steps = _keys(key)
  example = source.take(jnp.zeros(1, jnp.int32))['image']
  variables = once.jit(model.init)(key_init, example)
  everything = jax.tree.map(lambda _: jnp.array(True), variables['params'])
  return init(variables, everything, tx, key_steps), key_order


def _keys(key: Array) -> Array:
  """Of the initialisation, the shuffling and the steps."""
  return jax.random.split(key, 3)


def _fitting(
  model: Model, tx: optax.GradientTransformation, augment: Augment | None
) -> Step:
  objective = objectives.weighted_sum({'train': {'cross_entropy': 1.0}})
  return make_step(model, objective, tx, updates='train', augment=augment)
