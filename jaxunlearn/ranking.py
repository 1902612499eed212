"""The k largest entries of many arrays, found by counting alone.

No sort and no gather: every pass reads the entries where they are and adds up
numbers, over devices too.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxunlearn.types import Array

__all__ = ['largest']

# Smaller arrays are counted as one, because each costs the start of a kernel.
_SMALL = 2**10
# Neighbours that are added up first.
_NEAR = 16
# Ordered bits of -inf, 0.0 and inf.
_LOWEST, _ZERO, _HIGHEST = 0x007FFFFF, 0x80000000, 0xFF800000
# The first guess at the k-th largest: two powers of 2 below the largest.
_FIRST = 2 << 23
# Every so often the bracket is halved, whatever the counts say.
_HALVED = 4


def largest(arrays: Sequence[Array], k: Array) -> list[Array]:
  """Marks exactly the k largest entries.

  From the largest down a bound is looked for that k entries reach. The bracket
  in which the k-th lies is then narrowed by regula falsi on the logarithm of
  the count (Illinois), which takes some 10 to 50 passes where there are no
  ties, and at most 140; it ends as soon as a bound parts k entries from the
  rest.

  Args:
    arrays: floating-point of at most 32 bits, of any shapes. Of two that are
      equal the earlier one is larger; NaN is smaller than every number.
    k: int32, between 0 and the number of entries; may be traced.

  Returns:
    A boolean array for each, of its shape.
  """
  if not sum(x.size for x in arrays):
    return [jnp.zeros(x.shape, bool) for x in arrays]
  bound, count, above = _bracket(arrays, k)

  def first_ties() -> list[Array]:
    ties = _first_ties(arrays, bound, k - above)
    larger = [_ordered_bits(x) > bound for x in arrays]
    return [x | tie for x, tie in zip(larger, ties, strict=True)]

  def all_ties() -> list[Array]:
    return [_ordered_bits(x) >= bound for x in arrays]

  return jax.lax.cond(count == k, all_ties, first_ties)


def _ordered_bits(x: Array) -> Array:
  """uint32 in the order of the floats; -0.0 equals 0.0, NaN comes first."""
  x = x.astype(jnp.float32)
  sign = jnp.uint32(1 << 31)
  bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
  # On bits, because x == 0 is true of subnormal numbers on a CPU.
  bits = jnp.where(bits == sign, jnp.uint32(0), bits)
  ordered = jnp.where(bits >= sign, ~bits, bits | sign)
  return jnp.where(jnp.isnan(x), jnp.uint32(0), ordered)


def _reaches(x: Array, bound: Array) -> Array:
  """`_ordered_bits(x) >= bound` for a bound above 0, in fewer operations."""
  bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.int32)
  ordered = bits ^ (bits >> 31 | jnp.int32(-(2**31)))
  ordered = jax.lax.bitcast_convert_type(ordered, jnp.uint32)
  # Here NaN lies below -inf or above inf, and -0.0 one below 0.0.
  lowest, zero, highest = map(jnp.uint32, (_LOWEST, _ZERO, _HIGHEST))
  bound = jnp.maximum(bound, lowest)
  bound = jnp.where(bound == zero, zero - 1, bound)
  return ordered - bound <= highest - bound


def _anew(x: Array, now: Array) -> Array:
  """The same, as something that depends on `now`, uint32 of a pass in a loop.

  What is made of an array that does not, XLA makes before the loop, and keeps:
  as many bytes as the array has.
  """
  return jax.lax.optimization_barrier((x, now))[0]


class _End(NamedTuple):
  """One end of the bracket.

  Attributes:
    bound: uint32.
    count: entries that are at least `bound`.
    height: the logarithm of it, or what the search takes for it.
  """

  bound: Array
  count: Array
  height: Array


def _bracket(arrays: Sequence[Array], k: Array) -> tuple[Array, Array, Array]:
  """A bound, how many entries are at least that, and how many are above.

  Either k entries are at least the bound, or it is the k-th largest itself.
  """
  parts = _joined(arrays)
  most = jnp.stack([_staged(jnp.max, _ordered_bits(x)) for x in parts])
  total, goal = jnp.int32(sum(x.size for x in parts)), _height(k)

  def unsettled(search: tuple) -> Array:
    _, _, low, high = search
    return (low.count != k) & (high.bound - low.bound > 1)

  def narrow(search: tuple) -> tuple:
    number, last, low, high = search
    span = high.bound - low.bound
    share = (low.height - goal) / (low.height - high.height)
    step = (share * span.astype(jnp.float32)).astype(jnp.uint32)
    step = jnp.where(number % _HALVED == _HALVED - 1, span >> 1, step)
    bound = low.bound + jnp.clip(step, 1, span - 1)
    bound = jnp.where(low.bound == 0, _descent(number, high.bound), bound)
    reached = (_reaches(_anew(x, bound), bound) for x in parts)
    count = sum(_staged(jnp.sum, x) for x in reached)
    found = _End(bound, count, _height(count))
    # An end that stays twice running is taken to lie nearer: the other moves.
    rose, fell = count >= k, count < k
    low, high = (
      _either(moves, found, _nearer(end, goal, last == others))
      for moves, end, others in ((rose, low, -1), (fell, high, 1))
    )
    return number + 1, jnp.where(rose, 1, -1), low, high

  zero = jnp.int32(0)
  high = _End(most.max() + 1, zero, _height(zero))
  low = _either(k == 0, high, _End(jnp.uint32(0), total, _height(total)))
  *_, low, high = jax.lax.while_loop(unsettled, narrow, (zero, zero, low, high))
  return low.bound, low.count, high.count


def _descent(number: Array, above: Array) -> Array:
  """The next bound, where so far all had fewer than k entries.

  Each goes twice as far down as the one before, 128 powers of 2 at most; but
  zero, which many entries may be, is not passed by.
  """
  zero = jnp.uint32(_ZERO)
  far = jnp.uint32(_FIRST) << jnp.minimum(number, 6).astype(jnp.uint32)
  bound = above - jnp.minimum(above - 1, far)
  stop = jnp.where(above > zero + 1, zero + 1, zero)
  return jnp.where(above > zero, jnp.maximum(bound, stop), bound)


def _height(count: Array) -> Array:
  return jnp.log(count.astype(jnp.float32) + 0.5)


def _nearer(end: _End, goal: Array, really: Array) -> _End:
  return end._replace(
    height=jnp.where(really, (end.height + goal) / 2, end.height)
  )


def _either(first: Array, one: _End, other: _End) -> _End:
  return jax.tree.map(lambda a, b: jnp.where(first, a, b), one, other)


def _joined(arrays: Sequence[Array]) -> list[Array]:
  """The large arrays, and the entries of all small ones as one.

  Where an accelerator is the only device all are joined: none is split over
  others, and each costs the start of a kernel in each pass.
  """
  if _alone():
    # Else XLA joins them again in each pass.
    joined = jnp.concatenate([_flat(x) for x in arrays])
    return [jax.lax.optimization_barrier(joined)]
  small = [_flat(x) for x in arrays if 0 < x.size < _SMALL]
  large = [x for x in arrays if x.size >= _SMALL]
  return large + ([jnp.concatenate(small)] if len(small) > 1 else small)


def _flat(x: Array) -> Array:
  # Of one dtype, for those of several do not join.
  return x.ravel().astype(jnp.float32)


def _first_ties(
  arrays: Sequence[Array], kth: Array, wanted: Array
) -> list[Array]:
  """The first `wanted` entries that are `kth`, by array, then by position."""
  counts = jnp.stack(
    [_staged(jnp.sum, _ordered_bits(x) == kth) for x in arrays]
  )
  quotas = jnp.clip(wanted - (jnp.cumsum(counts) - counts), 0, counts)

  def first(x: Array, quota: Array) -> Array:
    def before(end: Array) -> Array:
      tied = _ordered_bits(_anew(x, end)) == kth
      return tied & (_position(x.shape, jnp.minimum(end, 1) >> 1) < end)

    num_bits = max(1, math.ceil(math.log2(x.size + 1)))
    end = _bisect(num_bits, lambda end: _staged(jnp.sum, before(end)) <= quota)
    return before(end)

  return [first(x, quotas[i]) for i, x in enumerate(arrays)]


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
