"""Masks: which entries of a parameter pytree are selected, as values."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxunlearn import ranking
from jaxunlearn.types import Array, Count, Mask, Params, Scores, traced

__all__ = ['count', 'last', 'random_k', 'top_k']

_MOST = 2**31 - 1


def top_k(scores: Scores, k: int | Array, over: str = 'scalars') -> Mask:
  """Selects exactly the k largest scores.

  Ties go to the entry that comes first, in the order of the pytree's leaves
  and row by row within a leaf; NaN comes after every number.

  Over scalars the k-th largest is found by counting, in some 7 to 25 passes,
  60 where many tie and then up to 31 that part them, fewer where k is small: no
  sort, no gather, and no copy of the scores where there are several devices or
  a CPU.

  Example:
    >>> import jax.numpy as jnp
    >>> scores = {'a': jnp.array([3.0, 1.0]), 'b': jnp.array([3.0, 4.0])}
    >>> mask = top_k(scores, 2)
    >>> mask['a'].tolist(), mask['b'].tolist()
    ([True, False], [False, True])

  Args:
    scores: a pytree of arrays of any shapes, floating-point of at most 32 bits.
    k: how many to select. May be traced; it is then clipped to the range.
    over: 'scalars', or 'leaves' to select whole arrays by the L2 norm of their
      scores.

  Returns:
    A mask: boolean arrays of the scores' shapes over scalars, of shape () over
    leaves.

  Raises:
    ValueError: k below 0, above the number of entries or no whole number, an
      unknown `over`, or more entries than an int32 counts.

  Reference:
    Zuo et al. (2025), Algorithm 1, Top-K. Whether their K counts scalars or
    arrays is not said; Table I suggests either.
  """
  leaves, treedef = jax.tree.flatten(scores)
  if over not in ('scalars', 'leaves'):
    raise ValueError(f"top_k selects over 'scalars' or 'leaves', not {over!r}.")
  total = len(leaves) if over == 'leaves' else sum(x.size for x in leaves)
  _check_countable(total)
  if not traced(k) and int(k) != float(k):
    raise ValueError(f'k = {k} is no whole number.')
  if not traced(k) and not 0 <= int(k) <= total:
    raise ValueError(f'k = {k} is not between 0 and the {total} {over}.')
  k = jnp.clip(jnp.asarray(k, jnp.int32), 0, total)
  if over == 'leaves':
    norms = [
      jnp.sqrt(jnp.sum(jnp.square(x.astype(jnp.float32)))) for x in leaves
    ]
    norms = jnp.stack(norms)
    # Sorted downwards, jax puts NaN first.
    norms = jnp.where(jnp.isnan(norms), -1, norms)
    ranked = jnp.argsort(norms, descending=True, stable=True)
    chosen = jnp.zeros(total, bool).at[ranked].set(jnp.arange(total) < k)
    return jax.tree.unflatten(treedef, list(chosen))
  return jax.tree.unflatten(treedef, ranking.largest(leaves, k))


def random_k(key: Array, params: Params, fraction: float) -> Mask:
  """Selects each scalar independently with the same probability.

  Example:
    >>> import jax.numpy as jnp
    >>> mask = random_k(jax.random.key(0), {'a': jnp.zeros((2, 3))}, 1.0)
    >>> mask['a'].tolist()
    [[True, True, True], [True, True, True]]

  Args:
    key: of the draw.
    params: a pytree of arrays; their shapes alone matter.
    fraction: the probability, in [0, 1].

  Returns:
    A mask of the parameters' shapes.

  Raises:
    ValueError: a fraction outside [0, 1].

  Reference:
    Zuo et al. (2025), Algorithm 1, Random-k.
  """
  if not traced(fraction) and not 0 <= fraction <= 1:
    raise ValueError(f'a fraction lies between 0 and 1; {fraction} does not.')
  leaves, treedef = jax.tree.flatten(params)
  keys = jax.random.split(key, len(leaves))
  return jax.tree.unflatten(
    treedef,
    [
      jax.random.bernoulli(k, fraction, x.shape)
      for k, x in zip(keys, leaves, strict=True)
    ],
  )


def last(
  params: Params,
  k: int,
  order: Sequence[tuple[str, ...]],
  over: str = 'leaves',
) -> Mask:
  """Selects the last k parameter arrays, or layers, that a network applies.

  A layer is a convolution or dense module with its bias and the norm that
  follows: an array of two or more axes, and those of fewer up to the next.

  Example:
    >>> params = {'a': {'kernel': jnp.ones((2, 2)), 'bias': jnp.ones(2)}}
    >>> order = (('a', 'kernel'), ('a', 'bias'))
    >>> mask = last(params, 1, order)
    >>> mask['a']['kernel'].item(), mask['a']['bias'].item()
    (False, True)

  Args:
    params: a pytree of arrays; their shapes alone matter.
    k: how many.
    order: paths of all arrays in the order in which the network applies them,
      as `Model.order` gives them.
    over: 'leaves', or 'layers'.

  Returns:
    A mask of boolean arrays of shape ().

  Raises:
    ValueError: k below 0 or above what there is, an unknown `over`, or an order
      of other paths than those of the parameters.

  Reference:
    Zuo et al. (2025), Section IV-A, EU-K and CF-K, where K counts arrays; Goel
    et al. (2022), where it counts layers.
  """
  if over not in ('leaves', 'layers'):
    raise ValueError(f"last selects over 'leaves' or 'layers', not {over!r}.")
  paths, treedef = jax.tree.flatten_with_path(params)
  axes = {_names(path): np.ndim(leaf) for path, leaf in paths}
  if sorted(order) != sorted(axes):
    raise ValueError(
      'the order does not name each array of these parameters once: is it of '
      'another network?'
    )
  # The number of the layer, or leaf, that each array belongs to.
  starts = [over == 'leaves' or axes[path] > 1 for path in order]
  numbers = np.maximum(np.cumsum(starts), 1)
  if not 0 <= k <= numbers[-1]:
    raise ValueError(f'k = {k} is not between 0 and the {numbers[-1]} {over}.')
  chosen = dict(zip(order, numbers > numbers[-1] - k, strict=True))
  return jax.tree.unflatten(
    treedef, [jnp.asarray(chosen[_names(path)]) for path, _ in paths]
  )


def count(mask: Mask, params: Params) -> Count:
  """Counts what a mask selects.

  Example:
    >>> import jax.numpy as jnp
    >>> params = {'a': jnp.zeros((2, 3)), 'b': jnp.zeros(4)}
    >>> mask = {'a': jnp.array(True), 'b': jnp.zeros(4, bool)}
    >>> selected = count(mask, params)
    >>> selected.scalars.item(), selected.leaves.item()
    (6, 1)

  Args:
    mask: boolean leaves, arrays or Python's, that broadcast to the parameters.
    params: the parameters.

  Returns:
    `scalars` and `leaves`, int32 arrays of shape ().

  Raises:
    ValueError: more parameters than an int32 counts.
  """
  _check_countable(sum(x.size for x in jax.tree.leaves(params)))

  def selected(mask: Array, leaf: Array) -> Array:
    each = leaf.size // max(1, jnp.size(mask))
    return jnp.sum(mask, dtype=jnp.int32) * each

  scalars = jnp.stack(jax.tree.leaves(jax.tree.map(selected, mask, params)))
  return Count(scalars.sum(), jnp.sum(scalars > 0))


def _check_countable(total: int) -> None:
  if total > _MOST:
    raise ValueError(
      f'{total:,} entries are more than an int32 counts: select from parts of '
      f'the pytree of at most {_MOST:,}.'
    )


def _names(path: tuple) -> tuple[str, ...]:
  return tuple(jax.tree_util.keystr((entry,), simple=True) for entry in path)
