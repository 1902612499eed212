"""One step of gradient descent on an objective, as a pure function."""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxunlearn import optim, partition
from jaxunlearn.objectives import Objective, Term
from jaxunlearn.types import (
  Array,
  Batch,
  Context,
  Model,
  Params,
  State,
  Variables,
)

__all__ = ['make_step']

Augment = Callable[[Array, Array], Array]
Metrics = dict[str, Array]
Step = Callable[..., tuple[State, Metrics]]


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
    and what teachers say of them, {split: {name: logits [batch, classes]}}.
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
        context = Context(teachers.get(split, {}), key_loss, state.step)
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
