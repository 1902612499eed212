"""Whole parameter arrays that move, apart from those that do not.

Where whole leaves stand still there is no need to differentiate with respect
to them, nor for optimizer state of theirs.
"""

import jax
import numpy as np

from jaxunlearn.types import Mask, PyTree, traced

__all__ = ['merge', 'moving', 'split']

Moving = tuple[bool, ...]


def moving(mask: Mask) -> Moving:
  """Which leaves may move, in the order of the pytree.

  Example:
    >>> moving({'a': np.array(False), 'b': np.array([False, True])})
    (False, True)

  Args:
    mask: as in `Mask`. A leaf of shape () that is False stands still; any
      other, and any that is traced, may move.
  """
  leaves = jax.tree.leaves(mask)
  known = [
    leaf if np.shape(leaf) == () and not traced(leaf) else True
    for leaf in leaves
  ]
  return tuple(bool(leaf) for leaf in jax.device_get(known))


def split(tree: PyTree, moving: Moving | None) -> tuple[PyTree, PyTree]:
  """The leaves that move, and the rest; None in place of the others.

  Args:
    tree: of the structure that `moving` is of.
    moving: None: all move.
  """
  leaves, treedef = jax.tree.flatten(tree)
  moving = (True,) * len(leaves) if moving is None else moving
  pairs = list(zip(leaves, moving, strict=True))
  return (
    jax.tree.unflatten(treedef, [leaf if m else None for leaf, m in pairs]),
    jax.tree.unflatten(treedef, [None if m else leaf for leaf, m in pairs]),
  )


def merge(tree: PyTree, rest: PyTree) -> PyTree:
  """What `split` took apart."""
  return jax.tree.map(
    lambda leaf, other: other if leaf is None else leaf,
    tree,
    rest,
    is_leaf=lambda leaf: leaf is None,
  )
