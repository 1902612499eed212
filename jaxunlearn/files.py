"""Files of a workdir: read with a sentence for what is wrong, written whole."""

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxunlearn import memory
from jaxunlearn.errors import InputError, Unavailable

__all__ = [
  'check_folders',
  'check_whole',
  'damaged',
  'expand',
  'leaving_none_empty',
  'read_json',
  'read_lines',
  'remove_folder',
  'replace',
  'text',
  'write_json',
  'writing',
]

# Of a workdir; and those whose entries are folders too.
_FOLDERS = (
  *('original', 'retrained', 'unlearned', 'probes', 'last_good', 'figures'),
  *('tables', 'cells', 'originals', 'configs'),
)
_OF_FOLDERS = ('unlearned', 'probes', 'last_good', 'cells', 'originals')
# Bytes that a byte of JSON may become in Python.
_UNPACKED = 30
# What ends every write, and what mends it.
_FULL, _GONE = 'there is no room left to write', 'the disk failed'
_OTHERS = 'what lies there is not ours to write'
_NO_WRITE = {
  errno.ENOSPC: (_FULL, 'free some space'),
  errno.EDQUOT: (_FULL, 'free some of your quota'),
  errno.EFBIG: (_FULL, 'raise the limit on the size of a file (ulimit -f)'),
  errno.EIO: (_GONE, 'repair it'),
  errno.EROFS: (_GONE, 'mount it for writing again'),
  errno.EACCES: (_OTHERS, 'make it yours (chown), or choose another workdir'),
  errno.EPERM: (_OTHERS, 'make it yours (chown), or choose another workdir'),
}
# Nothing is wrong with a file that these keep from being read.
_NOT_NOW = (
  *(errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ESTALE),
)


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
    content = json.loads(text(path))
  except InputError:
    raise
  except (OSError, ValueError, RecursionError) as error:
    raise damaged(path, remove, error) from error
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
    whole, _, _ = text(path).rpartition('\n')
    lines = [json.loads(x) for x in whole.splitlines()]
  except InputError:
    raise
  except (OSError, ValueError, RecursionError) as error:
    raise damaged(path, why=error) from error
  if not all(map(_is_line, lines)):
    raise damaged(path)
  return lines


def _is_line(line: Any) -> bool:
  """Whether it is one of metrics.jsonl: a model, an epoch, and numbers."""
  if not isinstance(line, dict) or not isinstance(line.get('model'), str):
    return False
  numbers = [value for name, value in line.items() if name != 'model']
  return isinstance(line.get('epoch'), int) and all(
    value is None or (isinstance(value, int | float) and abs(value) < 1e300)
    for value in numbers
  )


def text(path: Path) -> str:
  """What a file of JSON says, which is no more than memory can take.

  Raises:
    InputError: it is larger.
    OSError: it cannot be read.
    ValueError: it is no text.
  """
  size = path.stat().st_size
  memory.check_fits(str(path), size)
  memory.check_fits(f'what {path} may unpack to', _UNPACKED * size)
  return path.read_text('utf-8')


def write_json(path: Path, content: Mapping[str, Any]) -> None:
  """Writes an object as JSON; a number that is not finite is refused."""
  replace(path, json.dumps(content, indent=1, allow_nan=False) + '\n')


def replace(path: Path, content: str | bytes) -> None:
  """Writes a file whole or not at all; through no link."""
  if isinstance(content, str):
    content = content.encode()
  partial = path.with_name(f'.{path.name}.partial')
  # Left by a start that was killed; or a link, in a workdir of someone else's.
  partial.unlink(missing_ok=True)
  with open(partial, 'xb') as file:
    file.write(content)
    file.flush()
    # Else a machine that loses power may keep the new name and no content.
    os.fsync(file.fileno())
  os.replace(partial, path)


@contextlib.contextmanager
def leaving_none_empty(path: str | Path) -> Iterator[None]:
  """Removes again the folders that a mistake has left without content.

  Args:
    path: a folder, which may be made within, with its parents.
  """
  path = expand(path).absolute()
  missing = [x for x in (path, *path.parents) if not os.path.lexists(x)]
  try:
    yield
  except InputError:
    for folder in missing:
      # Those that have content stay.
      with contextlib.suppress(OSError):
        folder.rmdir()
    raise


def remove_folder(path: Path) -> None:
  """Removes a folder and what is in it, if it is there; of a link, the link."""
  if path.is_symlink():
    path.unlink()
  elif path.exists():
    shutil.rmtree(path)


def check_folders(workdir: Path) -> None:
  """Checks that what is written in a workdir stays there.

  Raises:
    InputError: where one of its folders should be there is a file, or a link.
  """
  for name in _FOLDERS:
    path = workdir / name
    if path.is_symlink() or (path.exists() and not path.is_dir()):
      raise _no_folder(workdir, name)
  for name in _OF_FOLDERS:
    for path in sorted((workdir / name).glob('*')):
      if path.is_symlink():
        raise _no_folder(workdir, f'{name}/{path.name}')


def _no_folder(workdir: Path, name: str) -> InputError:
  return InputError(
    f'the workdir {workdir} cannot be written: {name} in it is no folder, or a '
    'link. Choose another.'
  )


@contextlib.contextmanager
def writing(kept: str) -> Iterator[None]:
  """Says of a disk that is full or fails what was kept, and what to do.

  Args:
    kept: of what was there before, half a sentence.

  Raises:
    Unavailable: where a write within it found no room, or no disk.
  """
  try:
    yield
  except InputError:
    # It has its sentence, in which the system's words may stand too.
    raise
  except (OSError, ValueError, RuntimeError) as error:
    number = _number(error, _NO_WRITE)
    if number is None:
      raise
    what, remedy = _NO_WRITE[number]
    raise Unavailable(
      f'{what} ({os.strerror(number)}); {kept}: {remedy}, and run the same '
      'command again.'
    ) from error


def damaged(
  path: Path, remove: Path | None = None, why: Exception | None = None
) -> InputError:
  """What to say of a file that cannot be used, and what to do.

  Args:
    path: of the file.
    remove: what a new start makes again; the file by default.
    why: what was raised when it was read.

  Raises:
    Unavailable: it was not damage.
  """
  if why:
    check_whole(path, why)
  return InputError(
    f'{path} is damaged: remove {remove or path} and run the experiment again.'
  )


def check_whole(path: str | Path, why: Exception) -> None:
  """Tells a file that is damaged from one that cannot be read now.

  Raises:
    Unavailable: it is the latter; such as one of another user.
  """
  number = _number(why, _NOT_NOW)
  if number is not None:
    raise Unavailable(
      f'{path} cannot be read ({os.strerror(number)}): mend that, and run the '
      'same command again.'
    ) from why


def _number(error: Exception, known: Collection[int]) -> int | None:
  """Of the system's error, where it is one of those known."""
  if isinstance(error, OSError) and error.errno:
    return error.errno if error.errno in known else None
  # Orbax and tensorstore give the system's words alone.
  said = str(error).lower()
  return next((x for x in known if os.strerror(x).lower() in said), None)
