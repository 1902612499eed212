"""Selectors: which entries an unlearning method perturbs.

A selector is (key, task) -> `Selection`. A new one is a function here that
returns such a function, and its name in `__all__`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxunlearn import masks
from jaxunlearn import scores as scores_lib
from jaxunlearn.scores import ScoreFn
from jaxunlearn.types import Array, Selection, Task, as_pytree, traced

__all__ = [
  'everything',
  'last',
  'nothing',
  'random_k',
  'random_top_k',
  'top_k',
]

Selector = Callable[[Array, Task], Selection]


def top_k(
  k: int, over: str = 'scalars', score: ScoreFn | None = None
) -> Selector:
  """The k entries of largest score.

  Args:
    k: how many, at least 0. May be traced, as may the numbers of the others.
    over: 'scalars', or 'leaves' for whole parameter arrays.
    score: (key, task) -> scores; `scores.gradient()` by default.

  Returns:
    A selector; its mask holds exactly k entries.

  Raises:
    ValueError: k below 0 or an unknown `over`; when the selector is called, k
      above the number of entries.

  Reference:
    Zuo et al. (2025), Algorithm 1, Top-K.
  """
  if not traced(k) and k < 0:
    raise ValueError(f'k = {k} is below 0.')
  if over not in _TOP_K:
    raise ValueError(f"top_k selects over 'scalars' or 'leaves', not {over!r}.")
  score = as_pytree(score or scores_lib.gradient())
  # k is data: what is compiled for one serves all.
  return jax.tree_util.Partial(_TOP_K[over], k, score)


def _top_scalars(k: int, score: ScoreFn, key: Array, task: Task) -> Selection:
  scores = score(key, task)
  return Selection(masks.top_k(scores, k, 'scalars'), scores)


def _top_leaves(k: int, score: ScoreFn, key: Array, task: Task) -> Selection:
  scores = score(key, task)
  return Selection(masks.top_k(scores, k, 'leaves'), scores)


_TOP_K = {'scalars': _top_scalars, 'leaves': _top_leaves}


def random_k(fraction: float) -> Selector:
  """Each scalar independently with probability `fraction`.

  Args:
    fraction: in [0, 1]; the paper takes 0.05.

  Returns:
    A selector.

  Raises:
    ValueError: a fraction outside [0, 1].

  Reference:
    Zuo et al. (2025), Algorithm 1, Random-k.
  """
  _check_share('fraction', fraction)

  def select(key: Array, task: Task) -> Selection:
    return Selection(masks.random_k(key, task.original['params'], fraction))

  return select


def random_top_k(
  fraction: float, share: float = 1.0, score: ScoreFn | None = None
) -> Selector:
  """As many scalars as Random-k takes, a share of them by sensitivity.

  With n the size of a Random-k selection, round(share · n) scalars are those
  of largest score; the rest are drawn from the Random-k selection.

  Args:
    fraction: of the Random-k selection, in [0, 1].
    share: of the selection that is taken by score, in [0, 1]. 1 is "as many as
      Random-k, chosen by sensitivity"; smaller shares are the other reading of
      the paper, a Random-k selection of which only some are replaced.
    score: (key, task) -> scores; `scores.gradient()` by default.

  Returns:
    A selector.

  Raises:
    ValueError: a fraction or share outside [0, 1].

  Reference:
    Zuo et al. (2025), the mixed strategy, Random-TopK.
  """
  _check_share('fraction', fraction)
  _check_share('share', share)
  score = score or scores_lib.gradient()

  def select(key: Array, task: Task) -> Selection:
    key_score, key_random, key_rest = jax.random.split(key, 3)
    params = task.original['params']
    scores = score(key_score, task)
    at_random = masks.random_k(key_random, params, fraction)
    total = masks.count(at_random, params).scalars
    if not traced(share) and share == 1:
      return Selection(masks.top_k(scores, total), scores)
    by_score = jnp.round(share * total.astype(jnp.float32)).astype(jnp.int32)
    top = masks.top_k(scores, by_score)
    rest = masks.top_k(_shuffled(key_rest, at_random, top), total - by_score)
    return Selection(jax.tree.map(jnp.logical_or, top, rest), scores)

  return select


def last(k: int, over: str = 'leaves') -> Selector:
  """The last k parameter arrays, or layers, that the network applies.

  Args:
    k: how many, at least 0.
    over: 'leaves', or 'layers': a convolution or dense module with its bias and
      the norm that follows.

  Returns:
    A selector, for tasks whose model has an `order`.

  Raises:
    ValueError: k below 0 or an unknown `over`; when the selector is called, k
      above what there is, or a model without an order.

  Reference:
    Zuo et al. (2025), Section IV-A; Goel et al. (2022), *Towards Adversarial
    Evaluations for Inexact Machine Unlearning*.
  """
  if k < 0:
    raise ValueError(f'k = {k} is below 0.')
  if over not in ('leaves', 'layers'):
    raise ValueError(f"last selects over 'leaves' or 'layers', not {over!r}.")

  def select(key: Array, task: Task) -> Selection:
    del key
    if task.model.order is None:
      raise ValueError(
        'the last entries are those that the network applies last, and this '
        'model has no order: give Model(init, apply, order).'
      )
    params = task.original['params']
    return Selection(masks.last(params, k, task.model.order(params), over))

  return select


def nothing() -> Selector:
  """No entry: fine-tuning alone, the K = 0 control.

  Example:
    >>> variables = {'params': {'w': jnp.ones(3)}}
    >>> task = Task(model=None, original=variables, forget=None, retain=None)
    >>> nothing()(jax.random.key(0), task).mask['w'].item()
    False

  Returns:
    A selector.
  """
  return _constant(False)


def everything() -> Selector:
  """Every entry.

  Returns:
    A selector.
  """
  return _constant(True)


def _constant(value: bool) -> Selector:
  def select(key: Array, task: Task) -> Selection:
    del key
    params = task.original['params']
    return Selection(jax.tree.map(lambda _: jnp.array(value), params))

  return select


def _shuffled(key: Array, mask, excluded):
  """Random scores, positive in `mask` but not in `excluded`, 0 elsewhere."""
  leaves, treedef = jax.tree.flatten(mask)
  keys = jax.tree.unflatten(treedef, jax.random.split(key, len(leaves)))
  return jax.tree.map(
    lambda k, m, e: jnp.where(
      m & ~e, jax.random.uniform(k, m.shape, minval=0.5), 0.0
    ),
    keys,
    mask,
    excluded,
  )


def _check_share(name: str, value: float) -> None:
  if not traced(value) and not 0 <= value <= 1:
    raise ValueError(f'{name} lies between 0 and 1; {value} does not.')
