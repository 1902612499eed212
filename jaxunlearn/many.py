"""One method for many settings and seeds, compiled once."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxunlearn import objectives, partition, teachers
from jaxunlearn.loop import run_many
from jaxunlearn.method import UnlearningMethod, begin
from jaxunlearn.step import Step, make_step
from jaxunlearn.types import (
  Array,
  Model,
  PyTree,
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
      The teachers are those that the first settings give.
    settings: a pytree of arrays [models, ...].
    task: as for `unlearn`, with forget and retain in memory.
    keys: [models], each as for `unlearn`.
    num_steps: of fine-tuning, of each model.
    batch_size: examples of each split in a step, at most.

  Returns:
    (states, selections), their leaves stacked: [models, ...]. They are what
    `unlearn` gives, model by model.
  """
  task = with_sources(task)
  each = [jax.tree.map(lambda x, n=n: x[n], settings) for n in range(len(keys))]
  begun = [
    _begin(make, task.model, own, key, *task[1:])
    for own, key in zip(each, keys, strict=True)
  ]
  key_orders, key_teachers = zip(
    *(jax.random.split(key) for key, *_ in begun), strict=True
  )
  first = make(each[0])
  objective = objectives.weighted_sum(first.objective or {})
  known = first.teachers(key_teachers[0], task)
  classes, names = teachers.num_classes(task), tuple(known)
  objective = objectives.find_teachers(objective, classes, names)
  models = run_many(
    _step(make, task.model, classes, names),
    [_One(own, state) for own, (_, state, _) in zip(each, begun, strict=True)],
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
  """The key of fine-tuning, the state it starts from, and the selection."""
  task, method = Task(model, *arrays), make(own)
  key_select, key_perturb, key_steps, key_tune = jax.random.split(key, 4)
  selection = method.select(key_select, task)
  params = task.original['params']
  params = method.perturb(key_perturb, task, params, selection)
  state = begin(method, task, params, selection, key_steps)
  return key_tune, state, selection


# One object for one `make`, so that what is compiled of it is found again.
@functools.lru_cache(maxsize=64)
def _step(
  make: Make, model: Model, classes: int, names: tuple[str, ...]
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
      moving=partition.moving(one.state.mask),
    )
    state, metrics = take(one.state, batches, tables)
    return _One(one.settings, state), metrics

  return step
