"""Many steps, of one model or of several: which examples go into which."""

from collections.abc import Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxunlearn.data import batches
from jaxunlearn.step import Metrics, Step
from jaxunlearn.types import Array, Batch, Resident, Source, State, as_pytree

__all__ = ['run', 'run_many', 'steps_per_call']

# Enough of them hide the start of a call; their examples, and a checkpoint, are
# not far to wait for.
_TOGETHER = 32


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
    step: as `make_step` gives it; or a `jax.tree_util.Partial` of such with
      its first arguments, which are then data of what is compiled.
    state: may have taken steps before; the batches go on where it was.
    sources: {split: Source}; the first leads, see `batches.schedule`.
    key: of the shuffling.
    num_steps: steps in all.
    batch_size: examples in a step.
    teachers: {split: {name: logits [n, classes]}} of all n examples; a step
      gets those of its batch, so that what is compiled does not depend on n.

  Yields:
    (state, metrics) after each XLA call; the metrics are means over its steps.

  Raises:
    ValueError: a batch size below 1.
  """
  if batch_size < 1:
    raise ValueError(f'a batch needs at least one example, not {batch_size}.')
  step, teachers, done = as_pytree(step), teachers or {}, int(state.step)
  sizes = {split: len(source) for split, source in sources.items()}
  epoch_steps = batches.steps_per_epoch(next(iter(sizes.values())), batch_size)
  resident = all(isinstance(s, Resident) for s in sources.values())
  most = steps_per_call(epoch_steps, resident)
  while done < num_steps:
    number, first = divmod(done, epoch_steps)
    last = min(epoch_steps, first + num_steps - done)
    schedule = batches.schedule(key, number, sizes, batch_size)
    done += last - first
    schedule = {k: v[first:last] for k, v in schedule.items()}
    if most > 1:
      for count, now in _in_calls(schedule, most):
        taken = _taken(sources, now, teachers)
        state, metrics = _many_steps(step, state, *taken, count)
        yield state, metrics
    else:
      for now, read in _in_turn(sources, schedule):
        said = _said(teachers, now)
        state, metrics = _one_step(step, state, read, said)
        yield state, metrics


def run_many(
  step: Step,
  states: Sequence[State],
  sources: Mapping[str, Source],
  keys: Sequence[Array],
  *,
  num_steps: int,
  batch_size: int,
  teachers: Mapping[str, Mapping[str, Array]] | None = None,
) -> State:
  """Takes the steps of `run` for each of many models.

  One model after another, with what was compiled for the first: `vmap` turns
  convolutions into grouped ones, which on a CPU take 8 times as long, and on a
  GPU longer where the network is not small.

  Args:
    step: as `run` takes it.
    states: of models of one network, after equally many steps.
    sources: as `run` takes them.
    keys: of the shuffling, one for each model.
    num_steps: steps in all, of each.
    batch_size: examples of one model in a step.
    teachers: as `run` takes them, the same for all models.

  Returns:
    The last state of each, the leaves stacked: [models, ...].
  """
  how = {
    'num_steps': num_steps,
    'batch_size': batch_size,
    'teachers': teachers,
  }
  last = [
    _last(run(step, state, sources, key, **how), state)
    for state, key in zip(states, keys, strict=True)
  ]
  return jax.tree.map(lambda *x: jnp.stack(x), *last)


def steps_per_call(steps: int, resident: bool) -> int:
  """How many of the steps that are left of an epoch go into one XLA call.

  Args:
    steps: that are left.
    resident: whether the data is on the device.

  Returns:
    1 on a CPU, whose compiler leaves its fast path for the gradients of
    convolutions inside a loop: a step there takes 30 to 65 times as long,
    where they are not those of `jaxunlearn.models`; and where the data is not
    on the device. Else as many as are left, 32 at most.
  """
  together = resident and jax.default_backend() != 'cpu'
  return min(steps, _TOGETHER) if together else 1


def _last(steps: Iterator[tuple[State, Metrics]], state: State) -> State:
  for found, _ in steps:
    state = found
  return state


def _in_calls(
  positions: Mapping[str, np.ndarray], most: int
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
  """For each call, its steps, and positions for `most`: the last is repeated.

  So that one program serves calls of any number of steps.
  """
  steps = len(next(iter(positions.values())))
  for first in range(0, steps, most):
    now = {k: v[first : first + most] for k, v in positions.items()}
    count = min(most, steps - first)
    missing = ((0, most - count), (0, 0))
    yield count, {k: np.pad(v, missing, 'edge') for k, v in now.items()}


def _in_turn(sources: Mapping[str, Source], positions):
  """For each step, positions and the examples there, of each split."""
  reads = (batches.read(sources[split], x) for split, x in positions.items())
  for where, found in zip(
    zip(*positions.values(), strict=True), zip(*reads, strict=True), strict=True
  ):
    now = dict(zip(positions, where, strict=True))
    yield now, _with_index(dict(zip(positions, found, strict=True)), now)


def _with_index(found: Mapping[str, Batch], positions):
  """Where examples are is among them: a source need not say."""
  return {
    split: {'index': positions[split], **batch}
    for split, batch in found.items()
  }


@jax.jit
def _said(teachers, positions):
  """What teachers say of the examples at positions, of each split."""
  return {
    split: {name: logits[positions[split]] for name, logits in each.items()}
    for split, each in teachers.items()
  }


@jax.jit
def _one_step(step: jax.tree_util.Partial, state: State, batches, teachers):
  return step(state, batches, teachers)


@jax.jit
def _taken(sources, positions, teachers):
  """The examples of many steps, and what teachers say of them.

  A program of its own, because it is compiled for each size of the data.
  """

  def take(now):
    found = {split: sources[split].take(where) for split, where in now.items()}
    return _with_index(found, now), _said(teachers, now)

  return jax.lax.map(take, positions)


@jax.jit
def _many_steps(
  step: jax.tree_util.Partial, state: State, batches, teachers, count: Array
):
  """The first `count` of the steps whose batches these are."""

  def at(number: Array):
    def of(x: Array) -> Array:
      return jax.lax.dynamic_index_in_dim(x, number, keepdims=False)

    return jax.tree.map(of, (batches, teachers))

  def body(number: Array, carried):
    state, sums = carried
    state, metrics = _one_step(step, state, *at(number))
    return state, jax.tree.map(jnp.add, sums, metrics)

  _, like = jax.eval_shape(_one_step, step, state, *at(0))
  sums = jax.tree.map(jnp.zeros_like, like)
  state, sums = jax.lax.fori_loop(0, count, body, (state, sums))
  return state, jax.tree.map(lambda x: x / count, sums)
