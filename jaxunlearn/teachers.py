"""Teachers: frozen models that losses may compare with."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxunlearn import predict
from jaxunlearn.objectives import Objective
from jaxunlearn.types import Array, Task, Variables

__all__ = ['ask', 'num_classes', 'original_alone']


def original_alone(key: Array, task: Task) -> dict[str, Variables]:
  """The teachers of most methods: the original model under its own name."""
  del key
  return {'original': task.original}


def num_classes(task: Task) -> int:
  """How many logits the network of a task gives."""
  image = task.retain.take(jnp.zeros(1, jnp.int32))['image']
  logits, _ = jax.eval_shape(
    lambda v, x: task.model.apply(v, x, False), task.original, image
  )
  return logits.shape[-1]


def ask(
  teachers: Mapping[str, Variables],
  task: Task,
  objective: Objective,
  batch_size: int,
) -> dict[str, dict[str, Array]]:
  """What the teachers say of each split where a term compares with them."""
  tables = {}
  for term in objective.terms:
    for name in sorted(term.teachers):
      if name not in teachers:
        raise ValueError(
          f'the loss {term.name} needs a teacher {name!r}; the method has '
          f'{", ".join(sorted(teachers)) or "none"}.'
        )
      of_split = tables.setdefault(term.split, {})
      if name not in of_split:
        of_split[name] = predict.logits(
          task.model, teachers[name], getattr(task, term.split), batch_size
        )
  return tables
