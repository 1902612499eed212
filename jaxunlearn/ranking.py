"""The k largest entries of many arrays, found by counting alone.

No sort and no gather: every pass reads the entries where they are and adds up
numbers, over devices too. An accelerator by itself joins them first.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxunlearn.ordering import ZERO, ordered_bits, reaches
from jaxunlearn.types import Array

__all__ = ['largest']

T = TypeVar('T')

# Smaller arrays are counted as one, because each costs the start of a kernel.
_SMALL = 2**10
# Neighbours that are added up first.
_NEAR = 16
# The first guess at the k-th largest: two powers of 2 below the largest.
_FIRST = 2 << 23
# Of a count, relative: the next to none at all.
_LEAST_CHANGE = 2.0**-24 - 1
# Every so often the bracket is halved, whatever the counts say.
_HALVED = 8


def largest(arrays: Sequence[Array], k: Array) -> list[Array]:
  """Marks exactly the k largest entries.

  From the largest down a bound is looked for that k entries reach. The bracket
  in which the k-th lies is then narrowed by regula falsi on the log-odds of
  being counted (Anderson and Björck), which takes some 10 to 25 passes, 60
  where many tie, and at most 270; it ends as soon as a bound parts k entries
  from the rest.

  Args:
    arrays: floating-point of at most 32 bits, of any shapes. Of two that are
      equal the earlier one is larger; NaN is smaller than every number.
    k: int32, between 0 and the number of entries; may be traced.

  Returns:
    A boolean array for each, of its shape.
  """
  if not sum(x.size for x in arrays):
    return [jnp.zeros(x.shape, bool) for x in arrays]
  if _alone():
    return _largest_of_one(arrays, k)
  bound, count, above = _bracket(_small_joined(arrays), k)

  def first_ties() -> list[Array]:
    ties = _first_ties(arrays, bound, k - above)
    larger = [ordered_bits(x) > bound for x in arrays]
    return [x | tie for x, tie in zip(larger, ties, strict=True)]

  def all_ties() -> list[Array]:
    return [ordered_bits(x) >= bound for x in arrays]

  return jax.lax.cond(count == k, all_ties, first_ties)


def _largest_of_one(arrays: Sequence[Array], k: Array) -> list[Array]:
  """The same by one array of all entries, for an accelerator by itself.

  There each array costs the start of a kernel in each pass. The masks are cut
  outside of the branch, each by a comparison: there XLA fuses them into a few
  kernels. Ties before `end` are selected, and after it what is above the bound.
  """
  # Else XLA joins them again in each pass.
  joined = jax.lax.optimization_barrier(_concatenated(arrays))
  bound, count, above = _bracket([joined], k)
  end = jax.lax.cond(
    count == k,
    lambda: jnp.uint32(joined.size),
    lambda: _end_of_ties(joined, bound, k - above),
  )
  masks, start = [], 0
  for x in arrays:
    bits = ordered_bits(joined[start : start + x.size])
    position = start + jnp.arange(x.size, dtype=jnp.uint32)
    least = jnp.where(position < end, bound, bound + 1)
    masks.append((bits >= least).reshape(x.shape))
    start += x.size
  return masks


def _anew(arrays: T, turn: Array) -> tuple[T, Array]:
  """Both unchanged, but tied together, where `turn` is of a turn of a loop.

  XLA then takes the arrays for something that changes from turn to turn.
  Otherwise it would order them before the loop, and keep that: as many bytes as
  they have.
  """
  return jax.lax.optimization_barrier((arrays, turn))


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


def _bracket(parts: Sequence[Array], k: Array) -> tuple[Array, Array, Array]:
  """A bound, how many entries are at least that, and how many are above.

  Either k entries are at least the bound, or it is the k-th largest itself.
  """
  most = jnp.stack([_staged(jnp.max, ordered_bits(x)) for x in parts])
  total = sum(x.size for x in parts)

  def unsettled(search: tuple) -> Array:
    *_, ends = search
    return (ends.count[0] != k) & (ends.bound[1] - ends.bound[0] > 1)

  def narrow(search: tuple) -> tuple:
    number, moved, bound, ends = search
    parts_now, bound = _anew(parts, bound)
    count = sum(_staged(jnp.sum, reaches(x, bound)) for x in parts_now)
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
    return number + 1, moves, _between(ends, number + 1), ends

  high = most.max() + 1
  bound = jnp.stack([jnp.where(k == 0, high, 0), high])
  count = jnp.array([total, 0], jnp.int32)
  height = _height(count, k, total)
  ends = _Ends(bound, jnp.where(k == 0, 0, count), height)
  zero = jnp.int32(0)
  # As if both had moved, so that neither has stayed.
  first = (zero, jnp.ones(2, bool), _between(ends, zero), ends)
  *_, ends = jax.lax.while_loop(unsettled, narrow, first)
  return ends.bound[0], *ends.count


def _nearer(heights: Array, found: Array) -> Array:
  """Heights of ends that stay twice running, so that the next bound passes k.

  An end is taken for the lower the less the other lost by what was found, and
  for half as high where it lost nothing (Anderson and Björck, 1973).
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


def _small_joined(arrays: Sequence[Array]) -> list[Array]:
  """The large arrays, and the entries of all small ones as one."""
  small = [x for x in arrays if 0 < x.size < _SMALL]
  large = [x for x in arrays if x.size >= _SMALL]
  return large + ([_concatenated(small)] if small else [])


def _concatenated(arrays: Sequence[Array]) -> Array:
  # Of one dtype, for those of several do not join.
  return jnp.concatenate([x.ravel().astype(jnp.float32) for x in arrays])


def _first_ties(
  arrays: Sequence[Array], kth: Array, wanted: Array
) -> list[Array]:
  """The first `wanted` entries that are `kth`, by array, then by position."""
  counts = jnp.stack([_staged(jnp.sum, ordered_bits(x) == kth) for x in arrays])
  quotas = jnp.clip(wanted - (jnp.cumsum(counts) - counts), 0, counts)
  return [
    _ties_before(x, kth, _end_of_ties(x, kth, quotas[i]))
    for i, x in enumerate(arrays)
  ]


def _end_of_ties(x: Array, kth: Array, quota: Array) -> Array:
  """The last position before which no more than `quota` entries are `kth`."""

  def within(end: Array) -> Array:
    return _staged(jnp.sum, _ties_before(x, kth, end)) <= quota

  return _bisect(max(1, math.ceil(math.log2(x.size + 1))), within)


def _ties_before(x: Array, kth: Array, end: Array) -> Array:
  """Which entries are `kth` and lie before the position `end`."""
  x, end = _anew(x, end)
  tied = ordered_bits(x) == kth
  return tied & (_position(x.shape, jnp.minimum(end, 1) >> 1) < end)


def _bisect(num_bits: int, accepts: Callable[[Array], Array]) -> Array:
  """The largest value that is accepted, where all smaller ones are too."""

  def settle(i: Array, low: Array) -> Array:
    bit = jnp.uint32(1) << jnp.asarray(num_bits - 1 - i, jnp.uint32)
    return jnp.where(accepts(low | bit), low | bit, low)

  return jax.lax.fori_loop(0, num_bits, settle, jnp.uint32(0))


def _position(shape: tuple[int, ...], zero: Array) -> Array:
  """The row-major position of each entry, made without a reshape."""
  position = jnp.zeros(shape, jnp.uint32)
  for axis in range(len(shape)):
    stride = jnp.uint32(math.prod(shape[axis + 1 :]))
    along = jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
    position += stride * (along + zero)
  return position


def _staged(op: Callable[..., Array], x: Array) -> Array:
  """A sum (int32 of booleans) or the most: first of neighbours, then of all.

  XLA on a CPU reduces a whole array of integers on one core and one at a time.
  Neighbours lie on one device where an axis is sharded evenly: otherwise each
  device would need the whole axis.
  """
  if _alone():
    return op(x, **({'dtype': jnp.int32} if op is jnp.sum else {}))
  few, many = (
    ({'dtype': jnp.int8}, {'dtype': jnp.int32}) if op is jnp.sum else ({}, {})
  )
  x = jnp.atleast_1d(x)
  axis = int(np.argmax(x.shape))
  size = x.shape[axis]
  shard = size // math.gcd(size, _devices())
  near = max(n for n in range(1, _NEAR + 1) if shard % n == 0)
  shape = (*x.shape[:axis], size // near, near, *x.shape[axis + 1 :])
  found = op(x.reshape(shape), axis + 1, **few)
  # Else XLA makes one of the two again.
  return op(jax.lax.optimization_barrier(found), **many)


def _alone() -> bool:
  return jax.default_backend() != 'cpu' and _devices() == 1


def _devices() -> int:
  """How many the arrays may lie on; all there are, unless a mesh is set."""
  return jax.sharding.get_abstract_mesh().size or jax.device_count()
