"""Objectives: weighted sums of losses over the splits they are taken on."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxunlearn import losses
from jaxunlearn.types import Array, Context, Source, Task

__all__ = ['Objective', 'Term', 'find_teachers', 'read', 'weighted_sum']

Loss = Callable[[Array, Array, Context], Array]
Weight = float | optax.Schedule


class Term(NamedTuple):
  """One loss on one split.

  Attributes:
    split: such as 'retain' or 'forget'.
    name: of the loss.
    loss: as in `jaxunlearn.losses`.
    weight: a number, or a function of the step.
    teachers: the names of those the loss looks at; see `find_teachers`.
  """

  split: str
  name: str
  loss: Loss
  weight: Weight
  teachers: frozenset[str] = frozenset()

  def weight_at(self, step: Array) -> Array | float:
    """The weight after `step` steps."""
    return self.weight(step) if callable(self.weight) else self.weight


class Objective(NamedTuple):
  """What fine-tuning minimises: the sum of its terms.

  Attributes:
    terms: those whose weight is not the number 0.
  """

  terms: tuple[Term, ...]

  @property
  def splits(self) -> tuple[str, ...]:
    """The splits that the terms are taken on, each once."""
    return tuple(dict.fromkeys(term.split for term in self.terms))


def weighted_sum(
  terms: Mapping[str, Mapping[Loss | str, Weight]] | Objective,
) -> Objective:
  """L = Σ weight · mean(loss on split).

  A term of weight 0 is left out: its split is not even read.

  Example:
    Equation 10 of the paper, λ = 0.1:

    >>> from jaxunlearn import losses
    >>> objective = weighted_sum({
    ...   'retain': {losses.cross_entropy: 1.0},
    ...   'forget': {'js_to_original': 0.1},
    ... })
    >>> objective.splits
    ('retain', 'forget')

  Args:
    terms: {split: {loss: weight}}. A loss is a function as in
      `jaxunlearn.losses`, or the name of one there; a weight is a number or an
      optax schedule of the step. An `Objective` is returned as it is.

  Returns:
    The objective.

  Raises:
    ValueError: an unknown loss, two of one name on a split, or a weight that
      is not a finite number.
  """
  if isinstance(terms, Objective):
    return terms
  chosen = []
  for split, weights in terms.items():
    for loss, weight in weights.items():
      if isinstance(loss, str) and loss not in losses.__all__:
        raise ValueError(
          f'no loss {loss!r}; there are {", ".join(losses.__all__)}.'
        )
      if not callable(weight) and not math.isfinite(weight):
        raise ValueError(f'the weight of a loss must be finite, not {weight}.')
      function = getattr(losses, loss) if isinstance(loss, str) else loss
      if callable(weight) or weight != 0:
        name = getattr(function, '__name__', type(function).__name__)
        if any((t.split, t.name) == (split, name) for t in chosen):
          raise ValueError(f'two losses on {split} are called {name}.')
        weight = weight if callable(weight) else float(weight)
        chosen.append(Term(split, name, function, weight))
  return Objective(tuple(chosen))


def find_teachers(
  objective: Objective,
  num_classes: int,
  names: Iterable[str] = ('original',),
) -> Objective:
  """Notes in each term which teachers its loss looks at, by tracing it.

  Args:
    objective: its terms may name no teachers yet.
    num_classes: of the logits that the losses will be given.
    names: of the teachers there are; a loss that counts them or goes through
      them looks at all.

  Returns:
    The objective with the terms' `teachers` filled in.
  """
  names = tuple(names)
  return Objective(
    tuple(
      term._replace(teachers=_teachers_of(term.loss, num_classes, names))
      for term in objective.terms
    )
  )


def read(objective: Objective, task: Task) -> dict[str, Source]:
  """The splits of a task that the terms read; retain, which leads, always.

  Raises:
    ValueError: a term on another split than retain and forget.
  """
  known = {'retain': task.retain, 'forget': task.forget}
  unknown = sorted(set(objective.splits) - set(known))
  if unknown:
    raise ValueError(
      f'objectives are taken on retain and forget, not on {unknown[0]!r}.'
    )
  splits = ['retain', *(s for s in objective.splits if s != 'retain')]
  return {split: known[split] for split in splits}


def _teachers_of(
  loss: Loss, num_classes: int, names: tuple[str, ...]
) -> frozenset[str]:
  seen = set()

  def trace(logits, label, key, step):
    teachers = _Noting(seen, names, logits)
    return loss(logits, label, Context(teachers, key, step))

  jax.eval_shape(
    trace,
    jax.ShapeDtypeStruct((1, num_classes), jnp.float32),
    jax.ShapeDtypeStruct((1,), jnp.int32),
    jax.eval_shape(jax.random.key, 0),
    jax.ShapeDtypeStruct((), jnp.int32),
  )
  return frozenset(seen)


class _Noting(Mapping):
  """Has every teacher that it is asked for, and notes its name."""

  def __init__(self, seen: set[str], names: tuple[str, ...], logits: Array):
    self._seen, self._names, self._logits = seen, names, logits

  def __getitem__(self, name: str) -> Array:
    self._seen.add(name)
    return self._logits

  def __iter__(self) -> Iterator[str]:
    self._seen.update(self._names)
    return iter(self._names)

  def __len__(self) -> int:
    self._seen.update(self._names)
    return len(self._names)
