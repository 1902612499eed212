"""Floats as unsigned integers of the same order, which counting can go by."""

import jax
import jax.numpy as jnp

from jaxunlearn.types import Array

__all__ = ['ordered_bits', 'reaches']

# Ordered bits of -inf, 0.0 and inf.
_LOWEST, ZERO, _HIGHEST = 0x007FFFFF, 0x80000000, 0xFF800000


def ordered_bits(x: Array) -> Array:
  """uint32 in the order of the floats; -0.0 equals 0.0, NaN comes first."""
  x = x.astype(jnp.float32)
  sign = jnp.uint32(1 << 31)
  bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
  # On bits, because x == 0 is true of subnormal numbers on a CPU.
  bits = jnp.where(bits == sign, jnp.uint32(0), bits)
  ordered = jnp.where(bits >= sign, ~bits, bits | sign)
  return jnp.where(jnp.isnan(x), jnp.uint32(0), ordered)


def reaches(x: Array, bound: Array) -> Array:
  """`ordered_bits(x) >= bound` for a bound above 0, in fewer operations."""
  bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.int32)
  ordered = bits ^ (bits >> 31 | jnp.int32(-(2**31)))
  ordered = jax.lax.bitcast_convert_type(ordered, jnp.uint32)
  # Here NaN lies below -inf or above inf, and -0.0 one below 0.0.
  lowest, zero, highest = map(jnp.uint32, (_LOWEST, ZERO, _HIGHEST))
  bound = jnp.maximum(bound, lowest)
  bound = jnp.where(bound == zero, zero - 1, bound)
  return ordered - bound <= highest - bound
