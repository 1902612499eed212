"""What the machine can do at most, measured."""

import functools

import jax
import jax.numpy as jnp
import torch

from benchmarks import timing

_TRIES = 5
# Of an accelerator, so many that the start of a program counts for nothing.
_WORDS = {True: 2**26, False: 2**30}


@functools.cache
def matrix(dtype: str = 'float32') -> float:
  """Floating-point operations a second, of a large matrix product.

  XLA's or PyTorch's, whichever is faster.
  """
  size = 2048 if jax.default_backend() == 'cpu' else 8192
  # Ones would run faster than what is computed with.
  one = jax.random.normal(jax.random.key(0), (size, size)).astype(dtype)
  multiply = jax.jit(lambda a, b: a @ b)
  best = _best(lambda: multiply(one, one))
  if jax.default_backend() == 'cpu':
    other = torch.randn((size, size)).to(getattr(torch, dtype))
    best = min(best, _best(lambda: other @ other))
  return 2 * size**3 / best


@functools.cache
def copy() -> float:
  """Bytes a second, read and written, of a large copy."""
  words = jnp.zeros(_WORDS[jax.default_backend() == 'cpu'])
  add = jax.jit(lambda x: x + 1)
  return 2 * words.nbytes / _best(lambda: add(words))


@functools.cache
def read() -> float:
  """Bytes a second that a large sum reads."""
  if jax.default_backend() == 'cpu':
    # XLA sums on one core there.
    words = torch.zeros(2**26)
    return words.nbytes / _best(words.sum)
  words, add = jnp.zeros(_WORDS[False]), jax.jit(jnp.sum)
  return words.nbytes / _best(lambda: add(words))


def _best(work) -> float:
  """The least seconds: what the machine can, not what it did beside others."""
  timing.seconds(work)
  return min(timing.seconds(work) for _ in range(_TRIES))
