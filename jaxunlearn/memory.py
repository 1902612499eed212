"""Whether something has room in memory, asked before it is made."""

import os
from pathlib import Path

import jax

from jaxunlearn import hosts
from jaxunlearn.errors import InputError

__all__ = ['check_fits', 'holds', 'size']


def check_fits(what: str, needed: int) -> None:
  """Checks, before anything is read, that it has room in memory.

  Args:
    what: names it.
    needed: how many bytes that takes.

  Raises:
    InputError: more than this machine has.
  """
  there = size()
  if needed > there:
    here, fewer = 'here', ''
    if hosts.beside() > 1:
      here = f'for each of the {hosts.beside()} processes here'
      fewer = ', or fewer processes'
    raise InputError(
      f'{what} is {needed / 2**30:.1f} GiB, more than the '
      f'{there / 2**30:.1f} GiB of memory {here}: take a smaller one{fewer}.'
    )


def holds(needed: int, share: float) -> bool:
  """Whether so many bytes are no more than a share of it, of the device too."""
  stats = jax.local_devices()[0].memory_stats() or {}
  there = min(size(), stats.get('bytes_limit', size()))
  return needed <= share * there


def size() -> int:
  """Bytes that there are for this process, of the host or its container."""
  memory = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  try:
    # 'max' where a container has no limit of its own.
    limit = int(Path('/sys/fs/cgroup/memory.max').read_text())
  except (OSError, ValueError):
    limit = memory
  return min(memory, limit) // hosts.beside()
