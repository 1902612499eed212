"""Unlearning: select, perturb once, fine-tune."""

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxunlearn import (
  features,
  objectives,
  once,
  partition,
  teachers,
  train,
)
from jaxunlearn.objectives import Objective
from jaxunlearn.perturbers import Perturber
from jaxunlearn.selectors import Selector
from jaxunlearn.teachers import original_alone
from jaxunlearn.train import Augment, Metrics
from jaxunlearn.types import (
  Array,
  Mask,
  Model,
  Params,
  Resident,
  Selection,
  State,
  Task,
  Variables,
  as_pytree,
  with_sources,
)

__all__ = [
  'UnlearningMethod',
  'begin',
  'fine_tune',
  'original_alone',
  'perturb',
  'select',
  'trainable',
  'unlearn',
]


class UnlearningMethod(NamedTuple):
  """An unlearning method, composed of its parts.

  Attributes:
    select: (key, task) -> selection; which entries.
    perturb: (key, task, params, selection) -> params; changed how, once.
    objective: fine-tuned on what: {split: {loss: weight}}, or what
      `objectives.weighted_sum` makes of it. None: no fine-tuning.
    trainable: what fine-tuning may move: 'everything' (Algorithm 1 of the
      paper), 'selected' (Theorem 1), or (task, selection) -> mask.
    batch_stats: 'retain', updated by the forward pass on retain of the losses
      that compare with no teacher, or 'frozen'. They hold memory of the forget
      set and are not perturbed.
    teachers: (key, task) -> {name: variables} that losses may compare with.
    tx: the optimizer, made anew for each call.
  """

  select: Selector
  perturb: Perturber
  objective: Mapping | Objective | None
  trainable: str | Callable[[Task, Selection], Mask] = 'everything'
  batch_stats: str = 'retain'
  teachers: Callable[[Array, Task], Mapping[str, Variables]] = original_alone
  tx: optax.GradientTransformation = optax.adam(1e-3)

  @property
  def updates(self) -> str | None:
    """The split whose forward pass updates the batch statistics, if any."""
    return None if self.batch_stats == 'frozen' else self.batch_stats


def unlearn(
  method: UnlearningMethod,
  task: Task,
  key: Array,
  *,
  num_steps: int,
  batch_size: int,
  augment: Augment | None = None,
  cache_features: bool = False,
) -> Iterator[tuple[State, Metrics]]:
  """Runs an unlearning method.

  Args:
    method: what to do.
    task: to whom, and what is to be forgotten. Nothing of it is changed.
    key: of every random choice.
    num_steps: of fine-tuning; an epoch is max(1, |retain| // batch_size).
    batch_size: examples of each split in a step, at most.
    augment: (key, images) -> images, for the retain images in train mode.
    cache_features: as in `fine_tune`.

  Yields:
    First the perturbed state, of step 0, with no metrics; then (state,
    metrics) after each XLA call: of one step on a CPU and where images stay on
    disk, else of 32 or what is left of an epoch. `state.variables` is the
    model.
  """
  key_select, key_perturb, key_steps, key_tune = jax.random.split(key, 4)
  selection = select(method, task, key_select)
  params = perturb(method, task, key_perturb, selection)
  state = begin(method, task, params, selection, key_steps)
  yield state, {}
  steps = fine_tune(
    method,
    task,
    state,
    key_tune,
    num_steps=num_steps,
    batch_size=batch_size,
    augment=augment,
    cache_features=cache_features,
  )
  # They would stay in memory for as long as steps are taken.
  del selection, params, state
  yield from steps


def select(method: UnlearningMethod, task: Task, key: Array) -> Selection:
  """The method's selection; one XLA program where the data is in memory."""
  task = with_sources(task)
  if not _in_memory(task):
    return method.select(key, task)
  selector = as_pytree(method.select)
  if jax.tree.leaves(selector):
    # With numbers that are known, so that those out of range are seen.
    jax.eval_shape(functools.partial(selector, task=task), key)
  return _select(selector, task.model, key, *_arrays(task))


def perturb(
  method: UnlearningMethod, task: Task, key: Array, selection: Selection
) -> Params:
  """The original's parameters with the selected entries perturbed."""
  task = with_sources(task)
  if not _in_memory(task):
    return method.perturb(key, task, task.original['params'], selection)
  return _perturb(method.perturb, task.model, key, selection, *_arrays(task))


def begin(
  method: UnlearningMethod,
  task: Task,
  params: Params,
  selection: Selection,
  key: Array,
) -> State:
  """The state from which fine-tuning starts.

  Args:
    method: what to do.
    task: to whom.
    params: the perturbed parameters.
    selection: which were.
    key: from which each step derives its own.

  Returns:
    The state, of step 0; its buffers are not those of the original.

  Raises:
    ValueError: `method.trainable` is none of those known.
  """
  mask = trainable(method, task, selection)
  variables = {**task.original, 'params': params}
  return train.init(variables, mask, method.tx, key, partition.moving(mask))


def trainable(
  method: UnlearningMethod, task: Task, selection: Selection
) -> Mask:
  """Where fine-tuning may change the parameters, as `method.trainable` says.

  Raises:
    ValueError: it is none of those known.
  """
  if callable(method.trainable):
    return method.trainable(with_sources(task), selection)
  if method.trainable == 'selected':
    return selection.mask
  if method.trainable == 'everything':
    return jax.tree.map(lambda _: jnp.array(True), task.original['params'])
  raise ValueError(
    "trainable is 'everything', 'selected' or a function, not "
    f'{method.trainable!r}.'
  )


def fine_tune(
  method: UnlearningMethod,
  task: Task,
  state: State,
  key: Array,
  *,
  num_steps: int,
  batch_size: int,
  augment: Augment | None = None,
  cache_features: bool = False,
) -> Iterator[tuple[State, Metrics]]:
  """Minimises the method's objective, from a state on.

  A step takes a batch of each split that the objective reads, retain shuffled
  and forget from a reshuffled cycle. What teachers say of a split is computed
  once, before the first step.

  Args:
    method: what to do.
    task: to whom.
    state: where to begin, or to go on.
    key: of the shuffling and the teachers.
    num_steps: in all, counting those that the state has taken.
    batch_size: examples of each split in a step, at most.
    augment: (key, images) -> images, for the retain images in train mode.
    cache_features: whether what the layers before the first that moves make of
      each example is computed once and kept, instead of in each epoch. It
      needs the memory, frozen `batch_stats`, images that are not augmented, and
      a network that looks at each example alone.

  Yields:
    (state, metrics) after each XLA call; nothing without an objective.

  Raises:
    ValueError: an unknown `batch_stats`, split or teacher, a batch size below
      1, or features that cannot be kept.
  """
  if method.batch_stats not in ('retain', 'frozen'):
    raise ValueError(
      f"batch_stats is 'retain' or 'frozen', not {method.batch_stats!r}."
    )
  if cache_features and (method.batch_stats != 'frozen' or augment):
    raise ValueError(
      "features can be kept where batch_stats is 'frozen' and nothing is "
      'augmented: leave cache_features False.'
    )
  objective = objectives.weighted_sum(method.objective or {})
  if not objective.terms:
    return
  task = with_sources(task)
  sources = objectives.read(objective, task)
  key_order, key_teachers = jax.random.split(key)
  num_classes = teachers.num_classes(task)
  known = method.teachers(key_teachers, task)
  objective = objectives.find_teachers(objective, num_classes, known)
  model, moving = task.model, partition.moving(state.mask)
  if cache_features:
    model, sources = features.compute(
      model, moving, state.variables, sources, batch_size
    )
  step = train.make_step(
    model,
    objective,
    method.tx,
    updates=method.updates,
    augment=augment,
    moving=moving,
  )
  steps = train.run(
    step,
    state,
    sources,
    key_order,
    num_steps=num_steps,
    batch_size=batch_size,
    teachers=teachers.ask(known, task, objective, batch_size),
  )
  # What it was would stay in memory for as long as steps are taken.
  del state
  yield from steps


def _in_memory(task: Task) -> bool:
  return all(isinstance(s, Resident) for s in (task.forget, task.retain))


def _arrays(task: Task):
  return task.original, task.forget, task.retain


@functools.partial(jax.jit, static_argnums=1)
def _select(
  select: jax.tree_util.Partial, model: Model, key: Array, *arrays
) -> Selection:
  return select(key, Task(model, *arrays))


@functools.partial(once.jit, static_argnums=(0, 1))
def _perturb(
  perturb: Perturber, model: Model, key: Array, selection: Selection, *arrays
) -> Params:
  task = Task(model, *arrays)
  return perturb(key, task, task.original['params'], selection)
