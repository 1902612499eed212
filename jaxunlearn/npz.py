"""Arrays in files that NumPy wrote, which are never trusted."""

import tokenize
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO

import numpy as np

from jaxunlearn import files, memory
from jaxunlearn.errors import InputError

__all__ = ['read', 'read_npy', 'unpack']


def read(
  path: Path, names: Collection[str], remove: Path | None = None
) -> dict[str, np.ndarray]:
  """The arrays of a file that a run has written.

  Args:
    path: of the file.
    names: of the arrays that are wanted; others are not read.
    remove: what a new start makes again; the file by default.

  Raises:
    InputError: the file cannot be read, lacks one, or does not fit into memory.
  """
  try:
    found = unpack(path, names)
  except InputError:
    raise
  except (OSError, ValueError) as error:
    raise files.damaged(path, remove, error) from error
  if len(found) < len(names):
    raise files.damaged(path, remove)
  return found


def unpack(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
  """Those arrays of these names that an .npz file holds, none of them pickled.

  Raises:
    InputError: they do not fit into memory.
    OSError: the file cannot be read.
    ValueError: it is damaged, no .npz, or holds pickled objects.
  """
  try:
    # Not np.load, which leaves bytes and so the checksum unread where a
    # damaged header claims too few.
    with zipfile.ZipFile(path) as archive:
      there = [x for x in names if f'{x}.npy' in archive.namelist()]
      sizes = [archive.getinfo(f'{x}.npy').file_size for x in there]
      memory.check_fits(f'what {path} unpacks to', sum(sizes))
      return {x: _member(archive, f'{x}.npy') for x in there}
  except InputError:
    raise
  except (EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
    raise ValueError(str(error)) from error


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
  method = archive.getinfo(name).compress_type
  if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
    raise ValueError(f'{name} is compressed in a way that NumPy never uses')
  with archive.open(name) as file:
    return read_npy(file)


def read_npy(file: IO[bytes]) -> np.ndarray:
  """The one array that an open file in NumPy's format holds.

  Raises:
    ValueError: damaged, longer than its header says, or pickled objects.
  """
  try:
    array = np.lib.format.read_array(file, allow_pickle=False)
  # What a header with flipped bits was seen to raise besides ValueError.
  except (
    MemoryError,
    OverflowError,
    RecursionError,
    SyntaxError,
    TypeError,
    tokenize.TokenError,
  ) as error:
    raise ValueError(str(error)) from error
  # In an archive this read also meets the checksum behind the array.
  if file.read(1):
    raise ValueError('it is longer than its header says')
  return array
