"""Variables to and from Orbax checkpoints; from PyTorch's state_dict."""

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxunlearn import files
from jaxunlearn.errors import InputError
from jaxunlearn.hosts import several
from jaxunlearn.models import orbax_files
from jaxunlearn.models.torch_weights import from_torch_state_dict
from jaxunlearn.types import PyTree, Variables

__all__ = ['from_torch_state_dict', 'read_arrays', 'restore', 'save']


def save(path: str | Path, variables: Variables) -> None:
  """Writes variables as an Orbax checkpoint, and returns when it is whole.

  Of several processes each writes what it holds, so all must call it.

  Args:
    path: a directory that does not exist yet; its parents are made.
    variables: {'params', 'batch_stats', ...}, a pytree of arrays.

  Raises:
    InputError: something is at `path` already; nothing is overwritten.
  """
  import orbax.checkpoint as ocp

  path = files.expand(path).absolute()
  if path.exists():
    raise InputError(f'{path} exists already: remove it or choose another.')
  with orbax_files.ALONE, ocp.StandardCheckpointer() as checkpointer:
    # What each process has of its own, the first writes.
    checkpointer.save(path, _of_all(variables) if several() else variables)


def restore(path: str | Path, like: Variables) -> Variables:
  """Reads the variables of a network from an Orbax checkpoint directory.

  `params` (and `batch_stats`) lie at the top of the saved tree or one level
  down (`{'state': {'params': ...}}`), in `path` or in one folder of it (the
  item of a `CheckpointManager`'s step; `original` of a finished workdir).
  Collections that `like` does not have, such as `opt_state`, are not read.

  Args:
    path: the directory.
    like: what to expect, a pytree of arrays or `jax.ShapeDtypeStruct`.

  Returns:
    A pytree as `like`, on the default device, or where the sharding of a
    `jax.ShapeDtypeStruct` says. Floats of another width are cast
    to the dtype in `like`; every other dtype must agree.

  Raises:
    InputError: there is no checkpoint, more than one, a damaged one, one of
      another network, or one that holds a NaN or an infinity.
  """
  path = files.expand(path).absolute()
  with orbax_files.reading(path):
    path = orbax_files.locate(path)
  with orbax_files.reading(path):
    tree = orbax_files.metadata(path)
  if not isinstance(tree, Mapping):
    raise InputError(
      f'the checkpoint {path} holds a {type(tree).__name__} at the top: save '
      'the variables as {"params": ..., "batch_stats": ...}.'
    )
  wanted = {name: part for name, part in like.items() if jax.tree.leaves(part)}
  inside = _inside(tree, wanted, path)
  node = tree[inside] if inside else tree
  found = {name: node[name] for name in wanted if name in node}
  _compare(_by_path(found), _by_path(wanted), path)
  dtypes = {name: leaf.dtype for name, leaf in _by_path(wanted).items()}
  with orbax_files.reading(path):
    arrays = _read(path, found, dtypes, inside)
  for name, array in arrays.items():
    if not np.isfinite(array).all():
      raise InputError(
        f'the checkpoint {path} holds a NaN or an infinity in {_text(name)}: '
        'choose one that was saved before training diverged.'
      )
  paths, structure = jax.tree_util.tree_flatten_with_path(like)
  return jax.tree.unflatten(
    structure, [_put(arrays[_names(path)], leaf) for path, leaf in paths]
  )


def read_arrays(path: str | Path, like: PyTree) -> PyTree:
  """Reads a whole Orbax checkpoint into the structure that was saved.

  Args:
    path: the directory.
    like: a pytree of the same structure, of whatever has a shape and a dtype.

  Returns:
    A pytree as `like`, of NumPy's arrays.

  Raises:
    InputError: the checkpoint is damaged, or of another structure.
  """
  import orbax.checkpoint as ocp

  path = Path(path).expanduser().absolute()
  how = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), like)
  with orbax_files.reading(path):
    # Before there is room for them; a list's positions are names there.
    _compare(_by_path(orbax_files.metadata(path)), _by_path(like), path)
    return orbax_files.read(path, like, how, partial=False)


def _of_all(tree: PyTree) -> PyTree:
  """On the mesh of all processes, or else of NumPy."""
  return jax.tree.map(
    lambda x: np.asarray(x) if getattr(x, 'is_fully_addressable', True) else x,
    tree,
  )


def _put(array: np.ndarray, like: PyTree) -> jax.Array:
  """On the device, or the devices."""
  sharding = isinstance(like, jax.ShapeDtypeStruct) and like.sharding
  if not sharding:
    return jnp.asarray(array)
  return jax.make_array_from_callback(array.shape, sharding, array.__getitem__)


def _inside(tree: PyTree, wanted: Variables, path: Path) -> str:
  """The key of `tree` under which the variables lie, '' for the top."""
  nodes = {'': tree} | {
    key: node for key, node in tree.items() if isinstance(node, Mapping)
  }
  holders = [key for key, node in nodes.items() if set(wanted) <= set(node)]
  holders = holders or [key for key in nodes if 'params' in nodes[key]]
  if not holders:
    raise InputError(
      f'the checkpoint {path} has no `params` at the top or one level down, '
      f'only {", ".join(list(tree)[:5]) or "an empty tree"}: save the '
      'variables as {"params": ..., "batch_stats": ...}.'
    )
  if '' not in holders and len(holders) > 1:
    raise InputError(
      f'the checkpoint {path} has `params` in several places '
      f'({", ".join(holders[:5])}): save the one to unlearn by itself.'
    )
  return holders[0]


def _compare(found: Mapping, wanted: Mapping, path: Path) -> None:
  """Raises on the first leaf that is missing, extra, or does not fit."""
  mend = (
    'set the model.name and model.width that it was saved with, or rename its '
    'leaves as those of that network are'
  )
  for name in sorted(found.keys() | wanted.keys()):
    where = f'{_text(name)} in the checkpoint {path}'
    if name not in found:
      raise InputError(
        f'{_text(name)} is missing in the checkpoint {path}: {mend}.'
      )
    if name not in wanted:
      raise InputError(f'{where} is not a leaf of this network: {mend}.')
    have, want = found[name], wanted[name]
    if tuple(have.shape) != tuple(want.shape):
      raise InputError(
        f'{where} has shape {tuple(have.shape)} where this network has '
        f'{tuple(want.shape)}: {mend}, on data with as many classes and '
        'channels.'
      )
    floats = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in (have, want)]
    if not all(floats) and have.dtype != want.dtype:
      raise InputError(
        f'{where} is {have.dtype} where this network has {want.dtype}: save '
        'it again in that dtype.'
      )


def _read(path: Path, found: PyTree, dtypes: Mapping, inside: str) -> dict:
  """The arrays by path, restored as NumPy's: no device, no sharding."""
  import orbax.checkpoint as ocp

  def args(path, _):
    return ocp.RestoreArgs(restore_type=np.ndarray, dtype=dtypes[_names(path)])

  item = jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), found
  )
  how = jax.tree_util.tree_map_with_path(args, item)
  if inside:
    item, how = {inside: item}, {inside: how}
  tree = orbax_files.read(path, item, how, partial=True)
  return _by_path(tree[inside] if inside else tree)


def _by_path(tree: PyTree) -> dict[tuple[str, ...], PyTree]:
  """Leaves by path; a list's positions are names like a dictionary's keys."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {_names(path): leaf for path, leaf in leaves}


def _names(path) -> tuple[str, ...]:
  return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)


def _text(name: tuple[str, ...]) -> str:
  return '/'.join(name)
