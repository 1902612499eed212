"""One method for many settings and seeds, compiled once."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxunlearn import objectives, partition, teachers, train
from jaxunlearn.loop import run_many
from jaxunlearn.method import UnlearningMethod, trainable
from jaxunlearn.step import Step, make_step
from jaxunlearn.types import (
  Array,
  Model,
  PyTree,
  Resident,
  Selection,
  State,
  Task,
  with_sources,
)

__all__ = ['unlearn_many']

Make = Callable[[PyTree], UnlearningMethod]


def unlearn_many(
  make: Make,
  settings: PyTree,
  task: Task,
  keys: Array,
  *,
  num_steps: int,
  batch_size: int,
) -> tuple[State, Selection]:
  """Unlearns once for each of many settings: K, ε, learning rates, seeds.

  Settings are data to what is compiled, so that one program serves all; how the
  models take their steps is said in `loop.run_many`.

    settings = {'k': jnp.array([1, 10, 100]), 'factor': jnp.full(3, 0.1)}
    states, selections = unlearn_many(
      lambda own: recipes.top_k(own['k'], 'scalars', own['factor']),
      settings, task, jax.random.split(key, 3), num_steps=100, batch_size=128,
    )

  Args:
    make: (settings of one model) -> its method. The numbers are traced, and
      what is not a number, such as the losses there are, depends on none. A
      weight of the objective goes in as a schedule, `lambda step: own['js']`.
      The teachers are those that the first settings and the first key give.
    settings: a pytree of arrays [models, ...].
    task: as for `unlearn`, with forget and retain in memory.
    keys: [models], each as for `unlearn`.
    num_steps: of fine-tuning, of each model.
    batch_size: examples of each split in a step, at most.

  Returns:
    (states, selections), their leaves stacked: [models, ...]. They are what
    `unlearn` gives, model by model, where no teacher is drawn.

  Raises:
    ValueError: settings or keys that are not one for each model, settings that
      `unlearn` would refuse, a number of theirs that decides what is compiled,
      or data that is not in memory.
  """
  task, each = with_sources(task), _each(settings, len(keys))
  if not all(isinstance(x, Resident) for x in (task.forget, task.retain)):
    raise ValueError(
      'unlearn_many needs forget and retain in memory: give them as batches, '
      'or take unlearn for each.'
    )
  for own, key in zip(each, keys, strict=True):
    # With numbers that are known, so that those out of range are seen.
    known = jax.tree.map(lambda x: np.asarray(x)[()], own)
    jax.eval_shape(functools.partial(make(known).select, task=task), key)
  try:
    return _unlearn(make, each, task, keys, num_steps, batch_size)
  except jax.errors.ConcretizationTypeError as error:
    raise ValueError(
      'a number of the settings decides what is compiled, and so cannot differ '
      "between models: give a weight as a schedule, lambda step: own['js'], "
      'and leave what else it is out of the settings.'
    ) from error


def _each(settings: PyTree, models: int) -> list[PyTree]:
  """The settings of each model."""
  if not models:
    raise ValueError('unlearn_many needs a key for each model; there is none.')
  settings = jax.tree.map(jnp.asarray, settings)
  for path, leaf in jax.tree.leaves_with_path(settings):
    if leaf.shape[:1] != (models,):
      raise ValueError(
        f'settings{jax.tree_util.keystr(path)} has the shape {leaf.shape}, and '
        f'its first axis must be that of the {models} keys.'
      )
  return [jax.tree.map(lambda x, n=n: x[n], settings) for n in range(models)]


def _unlearn(
  make: Make,
  each: list[PyTree],
  task: Task,
  keys: Array,
  num_steps: int,
  batch_size: int,
) -> tuple[State, Selection]:
  begun = [
    _begin(make, task.model, own, key, *task[1:])
    for own, key in zip(each, keys, strict=True)
  ]
  methods = [make(own) for own in each]
  masks = [
    trainable(method, task, selection)
    for method, (*_, selection) in zip(methods, begun, strict=True)
  ]
  # One program: what moves in any of them moves in all, if not by a bit.
  moving = tuple(map(any, zip(*map(partition.moving, masks), strict=True)))
  states = [
    train.init(
      {**task.original, 'params': params}, mask, method.tx, key_steps, moving
    )
    for method, mask, (_, key_steps, params, _) in zip(
      methods, masks, begun, strict=True
    )
  ]
  key_orders, key_teachers = zip(
    *(jax.random.split(key) for key, *_ in begun), strict=True
  )
  first = methods[0]
  objective = objectives.weighted_sum(first.objective or {})
  known = first.teachers(key_teachers[0], task)
  classes, names = teachers.num_classes(task), tuple(known)
  objective = objectives.find_teachers(objective, classes, names)
  models = run_many(
    _step(make, task.model, classes, names, moving),
    [_One(own, state) for own, state in zip(each, states, strict=True)],
    objectives.read(objective, task),
    key_orders,
    num_steps=num_steps if objective.terms else 0,
    batch_size=batch_size,
    teachers=teachers.ask(known, task, objective, batch_size),
  )
  selections = [selection for *_, selection in begun]
  return models.state, jax.tree.map(lambda *x: jnp.stack(x), *selections)


class _One(NamedTuple):
  """One model: its state, and the settings that each of its steps reads."""

  settings: PyTree
  state: State

  @property
  def step(self) -> Array:
    """How many it has taken."""
    return self.state.step


@functools.partial(jax.jit, static_argnums=(0, 1))
def _begin(make: Make, model: Model, own: PyTree, key: Array, *arrays: PyTree):
  """The keys of fine-tuning and of its steps, the parameters, the selection."""
  task, method = Task(model, *arrays), make(own)
  key_select, key_perturb, key_steps, key_tune = jax.random.split(key, 4)
  selection = method.select(key_select, task)
  params = task.original['params']
  params = method.perturb(key_perturb, task, params, selection)
  return key_tune, key_steps, params, selection


# One object for one `make`, so that what is compiled of it is found again.
@functools.lru_cache(maxsize=64)
def _step(
  make: Make,
  model: Model,
  classes: int,
  names: tuple[str, ...],
  moving: partition.Moving,
) -> Step:
  def step(one: _One, batches, tables):
    method = make(one.settings)
    objective = objectives.weighted_sum(method.objective or {})
    # Not the one that is kept: it would outlive the numbers traced here.
    take = make_step.__wrapped__(
      model,
      objectives.find_teachers(objective, classes, names),
      method.tx,
      updates=method.updates,
      moving=moving,
    )
    state, metrics = take(one.state, batches, tables)
    return _One(one.settings, state), metrics

  return step
