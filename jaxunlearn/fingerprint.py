"""What a tree of arrays holds, as one short name."""

import hashlib
import json

import jax
import numpy as np

from jaxunlearn.data.stored import Stored, parts
from jaxunlearn.gather import to_host
from jaxunlearn.types import PyTree

__all__ = ['sha256']


def sha256(tree: PyTree) -> str:
  r"""Hex digest of a tree's contents, whatever files it has been kept in.

  The hashed stream has, for each leaf in the order of its path (by code
  point), one header line and then the leaf's values:

      ["block1/conv/kernel","float32",[3,3,16,16]]\n

  The header is JSON in ASCII without spaces: the keys on the way to the leaf
  joined by '/', the name of its NumPy dtype, and its shape. The values follow
  in C order, little-endian, with nothing between them and the next header:
  dtype and shape say how many bytes they are, so no two trees share a stream.

  Args:
    tree: dicts, tuples, NamedTuples or dataclasses of NumPy or JAX arrays of a
      fixed-width dtype, such as uint8, int64, bool or bfloat16; or images that
      are stored on disk.

  Returns:
    64 hexadecimal digits.

  Raises:
    ValueError: two leaves have one path, as in {'a/b': x, 'a': {'b': y}}.
    TypeError: a leaf of strings or objects, whose bytes are not its contents.

  Example:
    >>> import numpy as np
    >>> sha256({'indices': np.array([3, 5], np.int64)})[:16]
    'dacc18468fde51e4'
  """
  leaves = {}
  for keys, leaf in jax.tree_util.tree_leaves_with_path(tree):
    path = jax.tree_util.keystr(keys, simple=True, separator='/')
    if path in leaves:
      raise ValueError(f'two leaves have the path {path}; rename a key.')
    leaves[path] = leaf
  digest = hashlib.sha256()
  for path in sorted(leaves):
    array = leaves[path]
    array = array if isinstance(array, Stored) else np.asarray(to_host(array))
    if array.dtype.hasobject or array.dtype.kind in 'SUMm':
      raise TypeError(f'{path} holds {array.dtype}, which is not hashed.')
    header = [path, array.dtype.name, array.shape]
    digest.update(json.dumps(header, separators=(',', ':')).encode() + b'\n')
    for part in parts(array) if isinstance(array, Stored) else [array]:
      little = part.astype(part.dtype.newbyteorder('<'), order='C', copy=False)
      # As bytes, because bfloat16 has no buffer of its own.
      digest.update(np.ascontiguousarray(little).reshape(-1).view(np.uint8))
  return digest.hexdigest()
