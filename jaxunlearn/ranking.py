"""The k largest entries of many arrays, found by counting alone.

No sort and no gather: every pass reads the entries where they are and adds up
numbers, over devices too. An accelerator by itself first joins them, as ordered
bits.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp

from jaxunlearn import bracketing
from jaxunlearn.ordering import ordered_bits, reaches
from jaxunlearn.types import Array

__all__ = ['largest']

T = TypeVar('T')

# Smaller arrays are counted as one, because each costs the start of a kernel.
_SMALL = 2**10
# Neighbours that are added up, or compared, first.
_NEAR = 16
# So many times more groups of neighbours than entries that are looked for: then
# few of these are in one group.
_FEW = 2**12
# Of all entries, for an accelerator by itself. Odd, for channels are often a
# power of 2: else a column would be of a few of them.
_COLUMNS = 2047


def largest(arrays: Sequence[Array], k: Array) -> list[Array]:
  """Marks exactly the k largest entries.

  What parts k entries from the rest is looked for by `bracketing.search`, in
  some 7 to 25 passes; in one to six where k is so small that the largest of up
  to 16 neighbours tell where to begin. On an accelerator by itself it is
  `bracketing.part`, and the largest of columns tell that.

  Args:
    arrays: floating-point of at most 32 bits, of any shapes. Of two that are
      equal the earlier one is larger; NaN is smaller than every number.
    k: int32, between 0 and the number of entries; may be traced.

  Returns:
    A boolean array for each, of its shape.
  """
  total = sum(x.size for x in arrays)
  if not total:
    return [jnp.zeros(x.shape, bool) for x in arrays]
  if _alone():
    return _largest_of_one(arrays, k)
  bound, count, above = _bracket(_small_joined(arrays), k, total)

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
  outside of loops and branches, each by a comparison: there XLA fuses them into
  a few kernels.
  """
  total = sum(x.size for x in arrays)
  # Which come last, and of which none is marked.
  filling = jnp.full(-total % _COLUMNS, jnp.nan)
  # Else XLA joins them again in each pass.
  joined = ordered_bits(_concatenated([*arrays, filling]))
  joined = jax.lax.optimization_barrier(joined)
  most, first = _among_columns(joined, k)

  @jax.jit
  def count(bound: Array, end: Array) -> Array:
    position = _position(joined.shape, end)
    marked = _marked(joined, position, bound, end)
    return jnp.sum(marked, dtype=jnp.int32)

  bound, end = bracketing.part(count, k, total=total, most=most, first=first)
  masks, start = [], 0
  for x in arrays:
    position = start + jnp.arange(x.size, dtype=jnp.uint32)
    marked = _marked(joined[start : start + x.size], position, bound, end)
    masks.append(marked.reshape(x.shape))
    start += x.size
  return masks


def _marked(ordered: Array, position: Array, bound: Array, end: Array) -> Array:
  """What is above the bound, or is the bound and lies before `end`."""
  return ordered >= jnp.where(position < end, bound, bound + 1)


def _among_columns(joined: Array, k: Array) -> tuple[Array, Array]:
  """The largest, and the k-th largest of what is the largest of columns.

  That is at most the k-th largest of all, and near it where k is small; it is 0
  where k is above the number of columns.
  """
  ordered = joined.reshape(-1, _COLUMNS)
  # Else XLA makes one reduction of this and the last.
  largest = jax.lax.optimization_barrier(ordered.max(0))
  # Without a sort, which takes an accelerator several times as long.
  reach = jnp.sum(largest[:, None] <= largest[None], 1, dtype=jnp.int32)
  return largest.max(), jnp.where(reach >= k, largest, 0).max()


def _anew(arrays: T, turn: Array) -> tuple[T, Array]:
  """Both unchanged, but tied together, where `turn` is of a turn of a loop.

  XLA then takes the arrays for something that changes from turn to turn.
  Otherwise it would order them before the loop, and keep that: as many bytes as
  they have.
  """
  return jax.lax.optimization_barrier((arrays, turn))


def _bracket(
  parts: Sequence[Array], k: Array, total: int
) -> tuple[Array, Array, Array]:
  """A bound, how many entries are at least that, and how many are above.

  Either k entries are at least the bound, or it is the k-th largest itself.
  """
  most, first = _among_neighbours(parts, k)

  def count(bound: Array) -> Array:
    now, bound = _anew(parts, bound)
    return sum(_count(reaches(x, bound)) for x in now)

  return bracketing.search(count, k, total=total, most=most, first=first)


def _among_neighbours(parts: Sequence[Array], k: Array) -> tuple[Array, Array]:
  """The largest, and the k-th largest of what is the largest of neighbours.

  That is at most the k-th largest of all, and near it where k is small; a pass
  reads a sixteenth, or what the shapes allow. It is 0 where k is not small, or
  there are few neighbours.
  """
  near = [
    # Else XLA makes one reduction of this and the next.
    jax.lax.optimization_barrier(ordered.max(axis))
    for ordered, axis in map(_by_neighbours, map(ordered_bits, parts))
  ]
  most = jnp.stack([x.max() for x in near]).max()
  total, unknown = sum(x.size for x in near), jnp.uint32(0)
  if total > sum(x.size for x in parts) // 4:
    return most, unknown

  def count(bound: Array) -> Array:
    return sum(_count(x >= bound) for x in near)

  few = jnp.where(k < total // _FEW, k, 0)
  bound, *_ = bracketing.search(
    count, few, total=total, most=most, first=unknown
  )
  return most, jnp.where(few > 0, bound, unknown)


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
  counts = jnp.stack([_count(ordered_bits(x) == kth) for x in arrays])
  quotas = jnp.clip(wanted - (jnp.cumsum(counts) - counts), 0, counts)
  return [
    _ties_before(x, kth, _end_of_ties(x, kth, quotas[i]))
    for i, x in enumerate(arrays)
  ]


def _end_of_ties(x: Array, kth: Array, quota: Array) -> Array:
  """The last position before which no more than `quota` entries are `kth`."""

  def within(end: Array) -> Array:
    return _count(_ties_before(x, kth, end)) <= quota

  return _bisect(max(1, math.ceil(math.log2(x.size + 1))), within)


def _ties_before(x: Array, kth: Array, end: Array) -> Array:
  """Which entries are `kth` and lie before the position `end`."""
  x, end = _anew(x, end)
  tied = ordered_bits(x) == kth
  return tied & (_position(x.shape, end) < end)


def _bisect(num_bits: int, accepts: Callable[[Array], Array]) -> Array:
  """The largest value that is accepted, where all smaller ones are too."""

  def settle(i: Array, low: Array) -> Array:
    bit = jnp.uint32(1) << jnp.asarray(num_bits - 1 - i, jnp.uint32)
    return jnp.where(accepts(low | bit), low | bit, low)

  return jax.lax.fori_loop(0, num_bits, settle, jnp.uint32(0))


def _position(shape: tuple[int, ...], turn: Array) -> Array:
  """The row-major position of each entry, made without a reshape.

  By what changes from turn to turn of a loop, or XLA would keep all positions.
  """
  zero = jnp.minimum(turn, 1) >> 1
  position = jnp.zeros(shape, jnp.uint32)
  for axis in range(len(shape)):
    stride = jnp.uint32(math.prod(shape[axis + 1 :]))
    along = jax.lax.broadcasted_iota(jnp.uint32, shape, axis)
    position += stride * (along + zero)
  return position


def _count(chosen: Array) -> Array:
  """How many are true, int32: of neighbours first, then of all.

  XLA on a CPU adds up a whole array of integers on one core and one at a time.
  """
  split, axis = _by_neighbours(chosen)
  few = jnp.sum(split, axis, dtype=jnp.int8)
  # Else XLA makes one of the two again.
  return jnp.sum(jax.lax.optimization_barrier(few), dtype=jnp.int32)


def _by_neighbours(x: Array) -> tuple[Array, int]:
  """The array with neighbours along an axis of their own, and that axis.

  They lie on one device where an axis is sharded evenly: otherwise each device
  would need the whole axis.
  """
  x = jnp.atleast_1d(x)
  near = [_most_neighbours(size) for size in x.shape]
  axis = max(range(x.ndim), key=lambda i: (near[i], x.shape[i]))
  groups = x.shape[axis] // near[axis]
  shape = (*x.shape[:axis], groups, near[axis], *x.shape[axis + 1 :])
  return x.reshape(shape), axis + 1


def _most_neighbours(size: int) -> int:
  shard = size // math.gcd(size, _devices())
  return max(n for n in range(1, _NEAR + 1) if shard % n == 0)


def _alone() -> bool:
  return jax.default_backend() != 'cpu' and _devices() == 1


def _devices() -> int:
  """How many the arrays may lie on; all there are, unless a mesh is set."""
  return jax.sharding.get_abstract_mesh().size or jax.device_count()
