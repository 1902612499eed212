"""Files of a workdir: read with a sentence for what is wrong, written whole."""

import contextlib
import errno
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxunlearn.errors import InputError, Unwritable

__all__ = [
  'check_fits',
  'damaged',
  'expand',
  'full_disk',
  'read_json',
  'read_lines',
  'read_npz',
  'remove_folder',
  'replace',
  'write_json',
]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def expand(path: str | Path) -> Path:
  """The path, with the home folder that a leading ~ stands for.

  Raises:
    InputError: there is no such user.
  """
  try:
    return Path(path).expanduser()
  except RuntimeError as error:
    raise InputError(
      f'{str(path)[:200]} names a user without a home folder here: write the '
      'path out, from / on.'
    ) from error


def read_json(path: Path, remove: Path | None = None) -> dict[str, Any]:
  """The object that a JSON file holds.

  Args:
    path: of the file.
    remove: what a new start makes again; the file by default.

  Raises:
    InputError: the file cannot be read, or holds no object of JSON.
  """
  try:
    content = json.loads(path.read_text('utf-8'))
  except (OSError, ValueError, RecursionError) as error:
    raise damaged(path, remove) from error
  if not isinstance(content, dict):
    raise damaged(path, remove)
  return content


def read_lines(path: Path) -> list[dict[str, Any]]:
  """The lines of metrics.jsonl; none where there is no such file.

  A last line without an end was being written when its run was killed, and is
  left out.

  Raises:
    InputError: a line is none that a run has written.
  """
  if not path.exists():
    return []
  try:
    whole, _, _ = path.read_text('utf-8').rpartition('\n')
    lines = [json.loads(x) for x in whole.splitlines()]
  except (OSError, ValueError, RecursionError) as error:
    raise damaged(path) from error
  if not all(
    isinstance(x, dict) and {'model', 'epoch'} <= set(x) for x in lines
  ):
    raise damaged(path)
  return lines


def read_npz(path: Path, remove: Path | None = None) -> dict[str, np.ndarray]:
  """The arrays of a file that a run has written.

  Args:
    path: of the file.
    remove: what a new start makes again; the file by default.

  Raises:
    InputError: the file cannot be read, or does not fit into memory.
  """
  try:
    # Opened here, because np.load leaves a damaged file open.
    with open(path, 'rb') as raw:
      with zipfile.ZipFile(raw) as parts:
        sizes = [part.file_size for part in parts.infolist()]
      check_fits(f'what {path} unpacks to', sum(sizes))
      raw.seek(0)
      with np.load(raw, allow_pickle=False) as file:
        return dict(file)
  except InputError:
    raise
  # What NumPy and zipfile raise of a bit that flipped.
  except (
    OSError,
    ValueError,
    EOFError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
  ) as error:
    raise damaged(path, remove) from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
  """Writes an object as JSON; a number that is not finite is refused."""
  replace(path, json.dumps(content, indent=1, allow_nan=False) + '\n')


def replace(path: Path, content: str | bytes) -> None:
  """Writes a file whole or not at all."""
  if isinstance(content, str):
    content = content.encode()
  partial = path.with_name(f'.{path.name}.partial')
  with open(partial, 'wb') as file:
    file.write(content)
    file.flush()
    # Else a machine that loses power may keep the new name and no content.
    os.fsync(file.fileno())
  os.replace(partial, path)


def remove_folder(path: Path) -> None:
  """Removes a folder and what is in it, if it is there; of a link, the link."""
  if path.is_symlink():
    path.unlink()
  elif path.exists():
    shutil.rmtree(path)


def check_fits(what: str, size: int) -> None:
  """Checks, before anything is read, that it has room in memory.

  Args:
    what: names it.
    size: how many bytes it says that it is.

  Raises:
    InputError: more than this machine has.
  """
  memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  if size > memory:
    raise InputError(
      f'{what} is {size / 2**30:.1f} GiB, more than the '
      f'{memory / 2**30:.1f} GiB of memory here: take a smaller one.'
    )


@contextlib.contextmanager
def full_disk(kept: str) -> Iterator[None]:
  """Says of a disk without room what was kept, and what to do.

  Args:
    kept: of what was there before, half a sentence.

  Raises:
    Unwritable: where a write within it found no room.
  """
  try:
    yield
  except (OSError, ValueError, RuntimeError) as error:
    # Orbax gives the system's words alone.
    words = [os.strerror(number) for number in _FULL]
    full = getattr(error, 'errno', None) in _FULL or any(
      x.lower() in str(error).lower() for x in words
    )
    if not full:
      raise
    raise Unwritable(
      f'there is no room left to write ({error.__class__.__name__}); {kept}: '
      'free some, and run the same command again.'
    ) from error


def damaged(path: Path, remove: Path | None = None) -> InputError:
  """What to say of a file that cannot be used, and what to do."""
  return InputError(
    f'{path} is damaged: remove {remove or path} and run the experiment again.'
  )
