"""Arrays of many devices, brought to the host."""

import jax
from jax.experimental import multihost_utils

from jaxunlearn.types import PyTree

__all__ = ['to_host']


def to_host(tree: PyTree) -> PyTree:
  """As `jax.device_get`, of arrays that other processes hold parts of too.

  All processes that hold parts must ask.
  """
  return jax.device_get(jax.tree.map(_whole, tree))


def _whole(x):
  if not isinstance(x, jax.Array) or x.is_fully_addressable:
    return x
  if x.is_fully_replicated:
    return x.addressable_data(0)
  return multihost_utils.process_allgather(x, tiled=True)
