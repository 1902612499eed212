"""One training loop for every model: original, retrained and unlearned."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxunlearn import objectives, optim, partition
from jaxunlearn.data import batches
from jaxunlearn.objectives import Objective, Term
from jaxunlearn.types import (
  Array,
  Batch,
  Context,
  Mask,
  Model,
  Params,
  Resident,
  Source,
  State,
  Variables,
  as_source,
)

__all__ = ['fit', 'init', 'make_step', 'run', 'steps_per_call']

Augment = Callable[[Array, Array], Array]
Metrics = dict[str, Array]
Step = Callable[..., tuple[State, Metrics]]


def fit(
  model: Model,
  source: Source | Batch,
  key: Array,
  *,
  num_steps: int,
  batch_size: int,
  tx: optax.GradientTransformation,
  augment: Augment | None = None,
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

  Yields:
    (state, metrics) after each XLA call: the means over its steps of `loss`,
    `train/cross_entropy` and `train/accuracy`.
  """
  source = as_source(source)
  key_init, key_order, key_steps = jax.random.split(key, 3)
  example = source.take(jnp.zeros(1, jnp.int32))['image']
  variables = jax.jit(model.init)(key_init, example)
  everything = jax.tree.map(lambda _: jnp.array(True), variables['params'])
  state = init(variables, everything, tx, key_steps)
  objective = objectives.weighted_sum({'train': {'cross_entropy': 1.0}})
  step = make_step(model, objective, tx, updates='train', augment=augment)
  yield from run(
    step,
    state,
    {'train': source},
    key_order,
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


# One object for one step, so that what was compiled of it is found again.
@functools.lru_cache(maxsize=64)
def make_step(
  model: Model,
  objective: Objective,
  tx: optax.GradientTransformation,
  *,
  updates: str | None,
  augment: Augment | None = None,
  moving: tuple[bool, ...] | None = None,
) -> Step:
  """One step of gradient descent on an objective.

  Each split has a forward pass of its own. On the split `updates` it runs in
  train mode, on augmented images, and its batch statistics are kept. Every
  other pass runs in eval mode on the images as they are, and so does every
  term that compares with a teacher: between identical models it is exactly 0.

  Args:
    model: the network.
    objective: what to minimise; its terms name their teachers.
    tx: the optimizer.
    updates: the split whose pass updates the batch statistics, or None to
      leave them as they are.
    augment: (key, images) -> images.
    moving: the leaves to differentiate with respect to, as given to `init`.

  Returns:
    (state, batches, teachers) -> (state, metrics), for batches {split: Batch}
    and teachers {split: {name: logits [n, classes]}} of all n examples; where
    a split has teachers, its batch needs `index`.
  """
  tx = optim.train_only(tx)
  passes = _passes(objective, updates)

  def step(
    state: State,
    batches: Mapping[str, Batch],
    teachers: Mapping[str, Mapping[str, Array]],
  ) -> tuple[State, Metrics]:
    key = jax.random.fold_in(state.key, state.step)
    keys = jax.random.split(key, len(passes))
    params, still = partition.split(state.variables['params'], moving)

    def loss(params: Params) -> tuple[Array, tuple[Variables, Metrics]]:
      params = partition.merge(params, still)
      variables = updated = {**state.variables, 'params': params}
      total, metrics = jnp.zeros(()), {}
      for (split, train, terms), pass_key in zip(passes, keys, strict=True):
        batch = batches[split]
        image, label = batch['image'], batch['label']
        key_augment, key_dropout, key_loss = jax.random.split(pass_key, 3)
        if train and augment is not None:
          image = augment(key_augment, image)
        logits, after = model.apply(variables, image, train, key_dropout)
        updated = after if train else updated
        known = {
          k: v[batch['index']] for k, v in teachers.get(split, {}).items()
        }
        context = Context(known, key_loss, state.step)
        for term in terms:
          value = term.loss(logits, label, context).mean()
          total += term.weight_at(state.step) * value
          metrics[f'{split}/{term.name}'] = value
        hit = jnp.argmax(logits, -1) == label
        metrics.setdefault(f'{split}/accuracy', hit.mean())
      return total, (updated, {'loss': total, **metrics})

    gradient, (variables, metrics) = jax.grad(loss, has_aux=True)(params)
    trainable, _ = partition.split(state.mask, moving)
    change, opt_state = tx.update(
      gradient, state.opt_state, params, trainable=trainable
    )
    params = partition.merge(optax.apply_updates(params, change), still)
    variables = {**variables, 'params': params}
    return (
      state._replace(
        variables=variables, opt_state=opt_state, step=state.step + 1
      ),
      metrics,
    )

  return step


def run(
  step: Step,
  state: State,
  sources: Mapping[str, Source],
  key: Array,
  *,
  num_steps: int,
  batch_size: int,
  teachers: Mapping[str, Mapping[str, Array]] | None = None,
) -> Iterator[tuple[State, Metrics]]:
  """Takes steps until `num_steps` are taken, counting those of the state.

  Args:
    step: as `make_step` gives it.
    state: may have taken steps before; the batches go on where it was.
    sources: {split: Source}; the first leads, see `batches.schedule`.
    key: of the shuffling.
    num_steps: steps in all.
    batch_size: examples in a step.
    teachers: as `step` takes them.

  Yields:
    (state, metrics) after each XLA call; the metrics are means over its steps.

  Raises:
    ValueError: a batch size below 1.
  """
  if batch_size < 1:
    raise ValueError(f'a batch needs at least one example, not {batch_size}.')
  teachers = teachers or {}
  sizes = {split: len(source) for split, source in sources.items()}
  epoch_steps = batches.steps_per_epoch(next(iter(sizes.values())), batch_size)
  resident = all(isinstance(s, Resident) for s in sources.values())
  most = steps_per_call(epoch_steps, resident)
  done = int(state.step)
  while done < num_steps:
    number, first = divmod(done, epoch_steps)
    positions = batches.schedule(key, number, sizes, batch_size)
    while first < epoch_steps and done < num_steps:
      take = min(most, epoch_steps - first, num_steps - done)
      now = {k: v[first : first + take] for k, v in positions.items()}
      if take > 1:
        state, metrics = _many_steps(step, state, sources, now, teachers)
      else:
        batch = {k: _take(sources[k], v[0]) for k, v in now.items()}
        state, metrics = _one_step(step, state, batch, teachers)
      first, done = first + take, done + take
      yield state, metrics


def steps_per_call(steps: int, resident: bool) -> int:
  """How many of an epoch's steps go into one XLA call.

  Args:
    steps: of an epoch.
    resident: whether the data is on the device.

  Returns:
    1 on a CPU, whose compiler leaves its fast path for convolution gradients
    inside a loop: a scanned step takes 30 to 65 times as long. On other
    devices a whole epoch, where the data is there.
  """
  return steps if resident and jax.default_backend() != 'cpu' else 1


class _Pass(NamedTuple):
  split: str
  train: bool
  terms: tuple[Term, ...]


def _passes(objective: Objective, updates: str | None) -> list[_Pass]:
  grouped = {}
  for term in objective.terms:
    train = term.split == updates and not term.teachers
    grouped.setdefault((term.split, train), []).append(term)
  return [_Pass(*place, tuple(terms)) for place, terms in grouped.items()]


def _take(source: Source, positions: Array) -> Batch:
  """The examples, and where they are: a source need not say."""
  return {'index': positions, **source.take(positions)}


@functools.partial(jax.jit, static_argnums=0)
def _one_step(step: Step, state: State, batch, teachers):
  return step(state, batch, teachers)


@functools.partial(jax.jit, static_argnums=0)
def _many_steps(step: Step, state: State, sources, positions, teachers):
  def body(state: State, now):
    batch = {split: _take(sources[split], now[split]) for split in now}
    return step(state, batch, teachers)

  state, metrics = jax.lax.scan(body, state, positions)
  return state, jax.tree.map(jnp.mean, metrics)
