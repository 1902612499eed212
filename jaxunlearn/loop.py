"""Many steps, of one model or of several: which examples go into which."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxunlearn.data import batches
from jaxunlearn.step import Metrics, Step
from jaxunlearn.types import Array, Batch, Resident, Source, State, as_pytree

__all__ = ['run', 'run_many', 'steps_per_call']


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
  sizes = {split: len(source) for split, source in sources.items()}
  yield from _run(
    step,
    state,
    sources,
    lambda number: batches.schedule(key, number, sizes, batch_size),
    done=int(state.step),
    num_steps=num_steps,
    batch_size=batch_size,
    teachers=teachers or {},
  )


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

  On a CPU one model after another, with what was compiled for the first: there
  `vmap` turns convolutions into grouped ones, which take 8 times as long. On
  other devices all models at once.

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
  if jax.default_backend() == 'cpu':
    return _stack(
      [
        _last(
          run(
            step,
            state,
            sources,
            key,
            num_steps=num_steps,
            batch_size=batch_size,
            teachers=teachers,
          ),
          state,
        )
        for state, key in zip(states, keys, strict=True)
      ]
    )
  sizes = {split: len(source) for split, source in sources.items()}

  def schedule(number: int) -> dict[str, np.ndarray]:
    each = [batches.schedule(k, number, sizes, batch_size) for k in keys]
    return {k: np.stack([x[k] for x in each], axis=1) for k in sizes}

  steps = _run(
    _side_by_side(step),
    _stack(states),
    sources,
    schedule,
    done=int(states[0].step),
    num_steps=num_steps,
    batch_size=batch_size,
    teachers=teachers or {},
  )
  return _last(steps, _stack(states))


def steps_per_call(steps: int, resident: bool) -> int:
  """How many of an epoch's steps go into one XLA call.

  Args:
    steps: of an epoch.
    resident: whether the data is on the device.

  Returns:
    1 on a CPU, whose compiler leaves its fast path for the gradients of
    convolutions inside a loop: a scanned step takes 30 to 65 times as long,
    where they are not those of `jaxunlearn.models`. On other devices a whole
    epoch, where the data is there.
  """
  return steps if resident and jax.default_backend() != 'cpu' else 1


def _run(
  step: Step,
  state: State,
  sources: Mapping[str, Source],
  schedule: Callable[[int], Mapping[str, np.ndarray]],
  *,
  done: int,
  num_steps: int,
  batch_size: int,
  teachers: Mapping[str, Mapping[str, Array]],
) -> Iterator[tuple[State, Metrics]]:
  """Takes the steps that an epoch's schedule, by its number, says."""
  if batch_size < 1:
    raise ValueError(f'a batch needs at least one example, not {batch_size}.')
  step = as_pytree(step)
  size = len(next(iter(sources.values())))
  epoch_steps = batches.steps_per_epoch(size, batch_size)
  resident = all(isinstance(s, Resident) for s in sources.values())
  together = steps_per_call(epoch_steps, resident) > 1
  while done < num_steps:
    number, first = divmod(done, epoch_steps)
    last = min(epoch_steps, first + num_steps - done)
    positions = {k: v[first:last] for k, v in schedule(number).items()}
    done += last - first
    if together and last - first > 1:
      state, metrics = _many_steps(step, state, sources, positions, teachers)
      yield state, metrics
    else:
      for now, read in _in_turn(sources, positions):
        said = _said(teachers, now)
        state, metrics = _one_step(step, state, read, said)
        yield state, metrics


def _last(steps: Iterator[tuple[State, Metrics]], state: State) -> State:
  for found, _ in steps:
    state = found
  return state


def _stack(states: Sequence[State]) -> State:
  return jax.tree.map(lambda *x: jnp.stack(x), *states)


# One object for one step, as in `make_step`.
@functools.lru_cache(maxsize=64)
def _side_by_side(step: Step) -> Step:
  return jax.vmap(step)


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
def _many_steps(
  step: jax.tree_util.Partial, state: State, sources, positions, teachers
):
  def body(state: State, now):
    found = {split: sources[split].take(where) for split, where in now.items()}
    return step(state, _with_index(found, now), _said(teachers, now))

  state, metrics = jax.lax.scan(body, state, positions)
  return state, jax.tree.map(lambda x: x.mean(axis=0), metrics)
