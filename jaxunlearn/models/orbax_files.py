"""A folder that Orbax wrote: found, checked before it is read, and read."""

import contextlib
import json
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from jaxunlearn import files, memory
from jaxunlearn.errors import InputError
from jaxunlearn.types import PyTree

__all__ = ['ALONE', 'locate', 'metadata', 'read', 'reading']

# Two threads that are in Orbax at once may wait for one another for ever.
ALONE = threading.RLock()


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
  """Within it Orbax is used by this thread alone, and damage is one sentence.

  Raises:
    InputError: a file is damaged.
    Unavailable: it cannot be read now, though it may be whole.
  """
  try:
    with ALONE:
      yield
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


def locate(path: Path) -> Path:
  """The directory, `path` or one in it, that holds the saved tree.

  Raises:
    InputError: there is none, or more than one.
  """
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


def metadata(path: Path) -> PyTree:
  """The saved tree: of each array the shape, the dtype and how it is stored.

  Raises:
    InputError: a file is larger than memory.
    ValueError: and whatever else Orbax raises where one is damaged.
  """
  import orbax.checkpoint as ocp

  _probe(path)
  tree = ocp.PyTreeCheckpointHandler().metadata(path).tree
  for array in jax.tree.leaves(tree):
    _check_pieces(array)
  return tree


def read(path: Path, item: PyTree, how: PyTree, partial: bool) -> PyTree:
  """The arrays of a folder whose metadata was checked.

  Args:
    path: of the folder.
    item: what is wanted, a pytree of whatever has a shape and a dtype.
    how: Orbax's arguments for each leaf.
    partial: whether there may be more than is wanted.
  """
  import orbax.checkpoint as ocp

  return ocp.PyTreeCheckpointHandler().restore(
    path,
    args=ocp.args.PyTreeRestore(
      item=item, restore_args=how, partial_restore=partial
    ),
  )


def _check_pieces(array: Any) -> None:
  """Checks that an array is stored in pieces no larger than itself.

  Room for a whole piece is made before it is unpacked, however little of it is
  there.
  """
  piece = array.storage.chunk_shape if array.storage else array.shape
  limits = [max(size, 1) for size in array.shape]
  if any(x > y for x, y in zip(piece, limits, strict=True)):
    raise ValueError(f'{array.name} is stored in pieces of {piece}')


def _probe(path: Path) -> None:
  """Reads all that is stored once, in order, and lets the first failure out.

  Orbax reads many arrays at a time; when several fail, the others' tracebacks
  land on the terminal.
  """
  import tensorstore

  for file in path.rglob('*'):
    # Room for a value is made before it is read.
    memory.check_fits(str(file), file.stat().st_size)
  described = json.loads(files.text(path / '_METADATA'))
  for file in [path / '_sharding', *path.glob('array_metadatas/*')]:
    if file.is_file():
      json.loads(files.text(file))
  if described['use_ocdbt'] and described['tree_metadata']:
    base = {'driver': 'file', 'path': f'{path}/'}
    store = tensorstore.KvStore.open({'driver': 'ocdbt', 'base': base}).result()
    keys = store.list().result()
    if not keys:
      raise FileNotFoundError('its arrays are missing')
    for key in keys:
      store.read(key).result()
