"""Perturbers: how the selected entries are changed, once.

A perturber is (key, task, params, selection) -> params. It changes no entry
outside the selection, not even its sign of zero.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxunlearn.types import (
  Array,
  Params,
  Selection,
  Task,
  as_source,
  traced,
)

__all__ = ['chain', 'identity', 'interpolate', 'reinit', 'scale']

Perturber = Callable[[Array, Task, Params, Selection], Params]


def scale(factor: float) -> Perturber:
  """ω ← ω + ε·ω.

  Example:
    >>> params = {'a': jnp.array([1.0, 2.0]), 'b': jnp.array(3.0)}
    >>> mask = {'a': jnp.array([True, False]), 'b': jnp.array(True)}
    >>> found = scale(-0.5)(None, None, params, Selection(mask))
    >>> found['a'].tolist(), found['b'].item()
    ([0.5, 2.0], 1.5)

  Args:
    factor: ε. 0 changes nothing, -1 sets the entries to 0, -2 flips their sign.

  Returns:
    A perturber.

  Raises:
    ValueError: a factor that is not finite.

  Reference:
    Zuo et al. (2025), Eq. 7; ε is "small" there, its value is not printed.
  """
  _check_finite(factor)

  def perturb(
    key: Array, task: Task, params: Params, selection: Selection
  ) -> Params:
    del key, task
    return jax.tree.map(
      lambda m, w: jnp.where(m, w + jnp.asarray(factor, w.dtype) * w, w),
      selection.mask,
      params,
    )

  return perturb


def interpolate(factor: float) -> Perturber:
  """ω ← (1 - ε)·ω + ε·ω_j, with ω_j the selected values in a random order.

  The order is drawn over the whole selection, so a value may come from another
  parameter array.

  Example:
    >>> params = {'a': jnp.array([1.0, 2.0, 3.0])}
    >>> selection = Selection({'a': jnp.array([True, False, True])})
    >>> found = interpolate(1.0)(jax.random.key(0), None, params, selection)
    >>> sorted(found['a'].tolist()), found['a'][1].item()
    ([1.0, 2.0, 3.0], 2.0)

  Args:
    factor: ε. 0 changes nothing, 1 permutes the selected values.

  Returns:
    A perturber. It sorts: about 1.5 s for 11 M parameters on two CPU cores.

  Raises:
    ValueError: a factor that is not finite.

  Reference:
    Zuo et al. (2025), Algorithm 1, the Random-k update as printed.
  """
  _check_finite(factor)

  def perturb(
    key: Array, task: Task, params: Params, selection: Selection
  ) -> Params:
    del task
    mask = jax.tree.map(
      lambda m, w: jnp.broadcast_to(m, w.shape), selection.mask, params
    )
    others = _shuffle_selected(key, mask, params)
    return jax.tree.map(
      lambda m, w, other: jnp.where(
        m,
        ((1 - factor) * w.astype(other.dtype) + factor * other).astype(w.dtype),
        w,
      ),
      mask,
      params,
      others,
    )

  return perturb


def identity() -> Perturber:
  """ω ← ω.

  Returns:
    A perturber.
  """

  def perturb(
    key: Array, task: Task, params: Params, selection: Selection
  ) -> Params:
    del key, task, selection
    return params

  return perturb


def reinit() -> Perturber:
  """ω ← a fresh draw of `task.model.init`.

  Returns:
    A perturber, for tasks whose model has an `init`.

  Reference:
    Goel et al. (2022), EU-K: "exact unlearning" of the last k layers.
  """

  def perturb(
    key: Array, task: Task, params: Params, selection: Selection
  ) -> Params:
    if task.model.init is None:
      raise ValueError(
        'to re-initialise, a model needs an init: give '
        'Model(init, apply, order).'
      )
    example = as_source(task.retain).take(jnp.zeros(1, jnp.int32))['image']
    fresh = task.model.init(key, example)['params']
    return jax.tree.map(
      lambda m, new, w: jnp.where(m, new.astype(w.dtype), w),
      selection.mask,
      fresh,
      params,
    )

  return perturb


def chain(*perturbers: Perturber) -> Perturber:
  """One perturber after another, on the same selection.

  Example:
    >>> selection = Selection(jnp.array([True, False]))
    >>> twice = chain(scale(1.0), scale(1.0))
    >>> twice(jax.random.key(0), None, jnp.ones(2), selection).tolist()
    [4.0, 1.0]

  Args:
    *perturbers: each with a key of its own.

  Returns:
    A perturber.
  """

  def perturb(
    key: Array, task: Task, params: Params, selection: Selection
  ) -> Params:
    for each, part in zip(
      perturbers, jax.random.split(key, len(perturbers)), strict=True
    ):
      params = each(part, task, params, selection)
    return params

  return perturb


def _shuffle_selected(key: Array, mask, params: Params) -> Params:
  """The selected values exchanged at random; float32, any value elsewhere."""
  leaves, treedef = jax.tree.flatten(params)
  flat = jnp.concatenate([x.astype(jnp.float32).ravel() for x in leaves])
  chosen = jnp.concatenate([m.ravel() for m in jax.tree.leaves(mask)])
  priority = jax.random.bits(key, flat.shape, jnp.uint32)
  # One sort brings the selected values to the front, in a random order.
  *_, shuffled = jax.lax.sort((~chosen, priority, flat), num_keys=2)
  rank = jnp.cumsum(chosen) - 1
  exchanged = shuffled[jnp.maximum(rank, 0)]
  ends = [sum(x.size for x in leaves[: i + 1]) for i in range(len(leaves) - 1)]
  parts = jnp.split(exchanged, ends)
  return jax.tree.unflatten(
    treedef, [p.reshape(x.shape) for p, x in zip(parts, leaves, strict=True)]
  )


def _check_finite(factor: float) -> None:
  if not traced(factor) and not math.isfinite(factor):
    raise ValueError(f'a factor must be finite, not {factor}.')
