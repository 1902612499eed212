"""What XLA has compiled: kept on disk, and not kept in memory for ever."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import jax

from jaxunlearn import files
from jaxunlearn.errors import InputError

__all__ = ['keep', 'make_room']

_OFF = 'none'


def keep(cache_dir: str, say: Callable[[str], None]) -> None:
  """Has JAX keep what it compiles, and find it again in a later process.

  What is kept is machine code, so the folder is made for its owner alone.
  Nothing is ever removed from it; it may be removed whole at any time.

  Args:
    cache_dir: a folder, or 'none'. Empty: the one that JAX is set to, such as
      by JAX_COMPILATION_CACHE_DIR, else jaxunlearn/xla in the user's cache
      folder.
    say: told where that one cannot be written, so that nothing is kept.

  Raises:
    InputError: the folder that was given cannot be written.
  """
  if cache_dir == _OFF:
    jax.config.update('jax_enable_compilation_cache', False)
    return
  # What cannot be kept, or was cut off, is compiled again: no harm is done.
  warnings.filterwarnings(
    'ignore', 'Error (reading|writing) persistent compilation cache'
  )
  if not cache_dir and jax.config.jax_compilation_cache_dir:
    return
  folder = files.expand(cache_dir) if cache_dir else _users()
  if not _writable(folder):
    sentence = f'cache_dir {folder} cannot be written: give another, or none.'
    if cache_dir:
      raise InputError(sentence)
    say(f'Nothing that is compiled is kept; {sentence}')
    return
  jax.config.update('jax_compilation_cache_dir', str(folder))
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)


def make_room() -> None:
  """Forgets what is compiled before the process may hold no more of it.

  For a CPU, XLA maps memory for each function of a program, a thousand times
  and more for that of a ResNet, and aborts the process where Linux allows no
  more maps; 65,530 are usual. What is needed again is found on disk, or
  compiled again where nothing is kept.
  """
  try:
    limit = int(Path('/proc/sys/vm/max_map_count').read_text())
    with open('/proc/self/maps', 'rb') as maps:
      used = sum(1 for _ in maps)
  except OSError:  # Not Linux.
    return
  if used > limit / 2:
    jax.clear_caches()


def _users() -> Path:
  root = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
  return Path(root) / 'jaxunlearn' / 'xla'


def _writable(folder: Path) -> bool:
  try:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
  except OSError:
    return False
  return os.access(folder, os.W_OK | os.X_OK)
