"""The k-th largest of many numbers, by counting how many reach a bound.

From the largest down, or from a first guess, a bound is looked for that k
entries reach. The bracket in which the k-th lies is then narrowed by regula
falsi on the log-odds of being counted (Anderson and Björck, 1973). Bounds are
ordered bits, as `ordering` makes them. Where many are the k-th largest, those
that come first are found by bisection.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxunlearn.ordering import ZERO
from jaxunlearn.types import Array

__all__ = ['part', 'search']

# The first guess at the k-th largest: two powers of 2 below the largest.
_FIRST = 2 << 23
# Relative, of a count: so that its logarithm is finite where none is counted.
_LEAST_CHANGE = 2.0**-24 - 1
# Every so often the bracket is halved, whatever the counts say.
_HALVED = 8
# Passes that `part` makes before its first look at whether it is over, which
# are often enough where k is small, and between two looks.
_BEFORE, _BETWEEN = 2, 3


class _Ends(NamedTuple):
  """The lower end of the bracket and the upper, in arrays of two.

  Attributes:
    bound: uint32.
    count: entries that are at least `bound`.
    height: of that count above k, or what the search takes for it.
  """

  bound: Array
  count: Array
  height: Array


class _Search(NamedTuple):
  """Where a search is.

  Attributes:
    number: of passes so far that moved an end.
    moved: which ends the last one moved.
    bound: uint32, of the next.
    ends: of the bracket.
  """

  number: Array
  moved: Array
  bound: Array
  ends: _Ends


class _Parting(NamedTuple):
  """Where `part` is.

  Positions move once the bound is settled. A position adds one entry at most,
  so that exactly k are counted before `within` when `beyond` is the next.

  Attributes:
    search: for the bound.
    within: uint32, a position before which at most k are counted.
    beyond: uint32, one before which more are, or that of the end.
  """

  search: _Search
  within: Array
  beyond: Array


def search(
  count_at_least: Callable[[Array], Array],
  k: Array,
  *,
  total: int,
  most: Array,
  first: Array,
) -> tuple[Array, Array, Array]:
  """A bound, how many entries are at least that, and how many are above.

  Either k entries are at least the bound, or it is the k-th largest itself. It
  takes some 7 to 25 passes, 60 where many entries tie, and at most 270.

  Args:
    count_at_least: bound -> int32, how many entries reach it; a pass.
    k: int32, between 0 and `total`.
    total: how many entries there are.
    most: uint32, the largest.
    first: uint32, the bound of the first pass, between 1 and `most`; 0 where
      nothing is known of it.

  Returns:
    uint32 and two int32, of shape ().
  """

  def narrow(search: _Search) -> _Search:
    return _narrow(search, count_at_least(search.bound), k, total)

  start = _start(k, total, most, first)
  goes_on = functools.partial(_unsettled, k=k)
  *_, ends = jax.lax.while_loop(goes_on, narrow, start)
  return ends.bound[0], *ends.count


def part(
  count: Callable[[Array, Array], Array],
  k: Array,
  *,
  total: int,
  most: Array,
  first: Array,
) -> tuple[Array, Array]:
  """A bound and a position that part exactly k entries from the others.

  For an accelerator, which waits for the host at each look at whether it is
  over: ties are parted by positions in the same loop, and some passes are made
  between two looks. It takes the passes of `search`, up to 31 more where ties
  are parted, and up to 2 in vain, which change nothing that is returned.

  Args:
    count: (bound, end) -> int32, how many entries are above the bound, or are
      the bound and lie before the position `end`; a pass.
    k: int32, between 0 and `total`.
    total: how many entries there are.
    most: uint32, the largest.
    first: uint32, as `search` takes it.

  Returns:
    The two that `count` takes, uint32 of shape (), of which it says k.
  """

  def goes_on(now: _Parting) -> Array:
    return (now.search.ends.count[0] != k) & (now.beyond - now.within > 1)

  def narrow(now: _Parting) -> _Parting:
    settled = ~_unsettled(now.search, k)
    middle = now.within + (now.beyond - now.within) // 2
    bound = jnp.where(settled, now.search.ends.bound[0], now.search.bound)
    counted = count(bound, jnp.where(settled, middle, total))
    narrowed = _narrow(now.search, counted, k, total)
    return _Parting(
      jax.tree.map(functools.partial(jnp.where, settled), now.search, narrowed),
      jnp.where(settled & (counted <= k), middle, now.within),
      jnp.where(settled & (counted > k), middle, now.beyond),
    )

  def passes(now: _Parting, number: int = _BETWEEN) -> _Parting:
    for _ in range(number):
      now = narrow(now)
    return now

  search = _start(k, total, most, first)
  start = _Parting(search, jnp.uint32(0), jnp.uint32(total))
  now = jax.lax.while_loop(goes_on, passes, passes(start, _BEFORE))
  # Where k reach the bound, positions have moved in vain.
  reached = now.search.ends.count[0] == k
  end = jnp.where(reached, jnp.uint32(total), now.within)
  return now.search.ends.bound[0], end


def _start(k: Array, total: int, most: Array, first: Array) -> _Search:
  bound = jnp.stack([jnp.where(k == 0, most + 1, 0), most + 1])
  count = jnp.array([total, 0], jnp.int32)
  height = _height(count, k, total)
  ends = _Ends(bound, jnp.where(k == 0, 0, count), height)
  zero = jnp.int32(0)
  bound = jnp.where(first == 0, _between(ends, zero), first)
  # As if both had moved, so that neither has stayed.
  return _Search(zero, jnp.ones(2, bool), bound, ends)


def _unsettled(search: _Search, k: Array) -> Array:
  ends = search.ends
  return (ends.count[0] != k) & (ends.bound[1] - ends.bound[0] > 1)


def _narrow(search: _Search, count: Array, k: Array, total: int) -> _Search:
  """The search after a pass that counted so many."""
  number, moved, bound, ends = search
  height = _height(count, k, total)
  # The lower end moves where k reach the bound, else the upper.
  moves = (count >= k) == jnp.array([True, False])
  stays_twice = ~(moves | moved)
  near = _nearer(ends.height, height)
  ends = _Ends(
    jnp.where(moves, bound, ends.bound),
    jnp.where(moves, count, ends.count),
    jnp.where(moves, height, jnp.where(stays_twice, near, ends.height)),
  )
  return _Search(number + 1, moves, _between(ends, number + 1), ends)


def _nearer(heights: Array, found: Array) -> Array:
  """Heights of ends that stay twice running, so that the next bound passes k.

  An end is taken for the lower the less the other lost by what was found, and
  for half as high where it lost nothing.
  """
  share = 1 - found / heights[::-1]
  return heights * jnp.where(share > 0, share, 0.5)


def _between(ends: _Ends, number: Array) -> Array:
  """The bound of the next pass, the `number`-th."""
  low, high = ends.bound
  span = high - low
  share = ends.height[0] / (ends.height[0] - ends.height[1])
  step = (share * span.astype(jnp.float32)).astype(jnp.uint32)
  step = jnp.where(number % _HALVED == _HALVED - 1, span >> 1, step)
  bound = low + jnp.clip(step, 1, span - 1)
  return jnp.where(low == 0, _descent(number, high), bound)


def _descent(number: Array, above: Array) -> Array:
  """The next bound, where so far all had fewer than k entries.

  Each goes twice as far down as the one before, 128 powers of 2 at most; but
  zero, which many entries may be, is not passed by.
  """
  zero = jnp.uint32(ZERO)
  far = jnp.uint32(_FIRST) << jnp.minimum(number, 6).astype(jnp.uint32)
  bound = above - jnp.minimum(above - 1, far)
  stop = jnp.where(above > zero + 1, zero + 1, zero)
  return jnp.where(above > zero, jnp.maximum(bound, stop), bound)


def _height(count: Array, k: Array, total: int) -> Array:
  """The log-odds of being counted, less those at k.

  By differences, because logarithms of two counts of millions that differ by a
  few are one float.
  """

  def log_ratio(more: Array, of: Array) -> Array:
    change = more.astype(jnp.float32) / (of.astype(jnp.float32) + 0.5)
    return jnp.log1p(jnp.maximum(change, _LEAST_CHANGE))

  return log_ratio(count - k, k) - log_ratio(k - count, total - k)
