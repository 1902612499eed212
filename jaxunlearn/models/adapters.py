"""Variables to and from Orbax checkpoints; from PyTorch's state_dict."""

import json
import textwrap
import threading
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxunlearn import files
from jaxunlearn.errors import InputError
from jaxunlearn.models.torch_weights import from_torch_state_dict
from jaxunlearn.types import PyTree, Variables

__all__ = ['from_torch_state_dict', 'read_arrays', 'restore', 'save']

# Two threads that are in Orbax at once may wait for one another for ever.
_ALONE = threading.RLock()


def save(path: str | Path, variables: Variables) -> None:
  """Writes variables as an Orbax checkpoint, and returns when it is whole.

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
  with _ALONE, ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(path, variables)


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
    A pytree as `like`, on the default device. Floats of another width are cast
    to the dtype in `like`; every other dtype must agree.

  Raises:
    InputError: there is no checkpoint, more than one, a damaged one, one of
      another network, or one that holds a NaN or an infinity.
  """
  path = _guarded(_locate, files.expand(path).absolute())
  tree = _guarded(_metadata, path)
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
  arrays = _guarded(_read, path, found, dtypes, inside)
  for name, array in arrays.items():
    if not np.isfinite(array).all():
      raise InputError(
        f'the checkpoint {path} holds a NaN or an infinity in {_text(name)}: '
        'choose one that was saved before training diverged.'
      )
  paths, structure = jax.tree_util.tree_flatten_with_path(like)
  return jax.tree.unflatten(
    structure, [jnp.asarray(arrays[_names(path)]) for path, _ in paths]
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

  def read(path: Path) -> PyTree:
    _probe(path)
    how = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), like)
    found = ocp.PyTreeCheckpointHandler().restore(
      path, args=ocp.args.PyTreeRestore(item=like, restore_args=how)
    )
    for have, want in zip(
      jax.tree.leaves(found), jax.tree.leaves(like), strict=True
    ):
      if (have.shape, have.dtype) != (want.shape, want.dtype):
        raise ValueError(f'{have.shape} is not {want.shape}')
    return found

  return _guarded(read, Path(path).expanduser().absolute())


def _locate(path: Path) -> Path:
  """The directory, `path` or one in it, that holds the saved tree."""
  if not path.exists():
    raise InputError(
      f'the checkpoint {path} does not exist: give the directory that '
      'Orbax wrote.'
    )
  if not path.is_dir():
    raise InputError(
      f'the checkpoint {path} is a file, and an Orbax checkpoint is a '
      'directory: give the directory.'
    )
  if (path / '_METADATA').is_file():
    return path
  found = [file.parent for file in sorted(path.glob('*/_METADATA'))]
  found = [folder for folder in found if '-checkpoint-tmp' not in folder.name]
  names = [folder.name for folder in found]
  for name in ('original', 'default'):
    if name in names:
      return path / name
  if 'retrained' in names:
    raise InputError(
      f'the workdir {path} has no original/ any more: give the checkpoint '
      'that is to be unlearned.'
    )
  if len(found) == 1:
    return found[0]
  if found:
    raise InputError(
      f'{path} holds several checkpoints ({", ".join(names[:5])}): '
      'name one of them.'
    )
  deeper = sorted(path.glob('*/*/_METADATA'))
  remedy = (
    f'did you mean {deeper[-1].parent}?'
    if deeper
    else 'give a directory that Orbax wrote, with its file _METADATA.'
  )
  state = 'holds no Orbax checkpoint' if any(path.iterdir()) else 'is empty'
  raise InputError(f'the directory {path} {state}: {remedy}')


def _guarded(read, path: Path, *args):
  """The outcome of a read, or one sentence where a file is damaged."""
  try:
    with _ALONE:
      return read(path, *args)
  except InputError:
    raise
  # What Orbax and tensorstore raise when files are cut, emptied or missing.
  except (
    *(ValueError, TypeError, KeyError, AttributeError, OSError),
    RecursionError,
  ) as error:
    files.check_whole(f'the checkpoint {str(path)[:200]}', error)
    reason = textwrap.shorten(str(error), 80, placeholder='…')
    raise InputError(
      f'the checkpoint {str(path)[:200]} is damaged or cannot be read '
      f'({type(error).__name__}: {reason}): take another copy of it.'
    ) from error


def _metadata(path: Path) -> Mapping[str, PyTree]:
  """The saved tree, with a shape and a dtype for each leaf."""
  import orbax.checkpoint as ocp

  _probe(path)
  return ocp.PyTreeCheckpointHandler().metadata(path).tree


def _probe(path: Path) -> None:
  """Reads all that is stored once, in order, and lets the first failure out.

  Orbax reads many arrays at a time; when several fail, the others' tracebacks
  land on the terminal.
  """
  import tensorstore

  described = json.loads((path / '_METADATA').read_text())
  for file in [path / '_sharding', *path.glob('array_metadatas/*')]:
    if file.is_file():
      json.loads(file.read_text())
  if described['use_ocdbt'] and described['tree_metadata']:
    base = {'driver': 'file', 'path': f'{path}/'}
    store = tensorstore.KvStore.open({'driver': 'ocdbt', 'base': base}).result()
    keys = store.list().result()
    if not keys:
      raise FileNotFoundError('its arrays are missing')
    for key in keys:
      store.read(key).result()


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
  tree = ocp.PyTreeCheckpointHandler().restore(
    path,
    args=ocp.args.PyTreeRestore(
      item=item, restore_args=how, partial_restore=True
    ),
  )
  return _by_path(tree[inside] if inside else tree)


def _by_path(tree: PyTree) -> dict[tuple[str, ...], PyTree]:
  """Leaves by path; a list's positions are names like a dictionary's keys."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  return {_names(path): leaf for path, leaf in leaves}


def _names(path) -> tuple[str, ...]:
  return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)


def _text(name: tuple[str, ...]) -> str:
  return '/'.join(name)
