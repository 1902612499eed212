"""One start at a time in a workdir."""

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from jaxunlearn.errors import Unavailable

__all__ = ['alone_in']

_LONGEST = 4096  # Of what names a holder; no more of the file is read.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextlib.contextmanager
def alone_in(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
  """Holds a folder for this process; the system lets go when it ends.

  The lock is on the file `.lock`, which names its holder and is removed at the
  end. Of a holder that died the file is there still, but the lock is not. On
  NFS it reaches from host to host, unless it is mounted with `nolock` or
  `local_lock`.

  Args:
    folder: of which this process is to be the only one to write.
    say: told of a holder that died.

  Raises:
    Unavailable: another process holds it, or it cannot be locked.
  """
  path = folder / '.lock'
  with _locked(path) as file:
    left = file.read(_LONGEST)
    if left:
      say(_left(left, folder))
    file.seek(0)
    file.truncate()
    json.dump({'host': socket.gethostname(), 'pid': os.getpid()}, file)
    file.flush()
    try:
      yield
    finally:
      path.unlink(missing_ok=True)


def _locked(path: Path) -> TextIO:
  while True:
    file = os.fdopen(_descriptor(path), 'r+', errors='replace')
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      with file:
        holder, _ = _holder(file.read(_LONGEST))
      raise Unavailable(
        f'{path.parent} is in use by {holder}: wait until that has ended, or '
        'choose another workdir.'
      ) from error
    except OSError as error:
      with file:
        raise _unlockable(path, error) from error
    # Its holder may have removed it between the two.
    if path.exists() and os.fstat(file.fileno()).st_ino == path.stat().st_ino:
      return file
    file.close()


def _descriptor(path: Path) -> int:
  # No link, which in a workdir of someone else's may lead anywhere.
  flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
  try:
    return os.open(path, flags, 0o644)
  except OSError as error:
    raise _unlockable(path, error) from error


def _unlockable(path: Path, error: OSError) -> Unavailable:
  remedy = 'remove it, or choose another workdir'
  if error.errno in _NO_LOCKS:
    remedy = 'choose a workdir on a file system that has locks'
  elif not os.path.lexists(path):
    remedy = 'see that its folder can be written, or choose another workdir'
  return Unavailable(f'{path} cannot be locked ({error.strerror}): {remedy}.')


def _left(text: str, folder: Path) -> str:
  """What is true of a lock file that nobody holds."""
  holder, elsewhere = _holder(text)
  if not elsewhere:
    return f'{holder} was stopped in {folder}; its work goes on.'
  return (
    f'{holder} no longer holds {folder}, so its work goes on; where locks do '
    'not reach from host to host, make sure that it has ended.'
  )


def _holder(text: str) -> tuple[str, bool]:
  """Its name, and whether it is of another host."""
  try:
    found = json.loads(text)
    host = str(found['host'])
    name = f'process {found["pid"]:d} on {host[:80]}'
  except (ValueError, KeyError, TypeError, RecursionError):
    return 'another process', False
  return name, host != socket.gethostname()
