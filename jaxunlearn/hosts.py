"""Several processes that run one experiment, on one host or on many.

All run the same program over one mesh. What lies in the workdir, which all of
them see, is written by the first.
"""

import contextlib
import functools
import os
import re
import socket
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxunlearn.errors import InputError, Unavailable

__all__ = [
  'any_of',
  'beside',
  'index',
  'is_gone',
  'join',
  'leads',
  'led',
  'of_first',
  'see',
  'several',
  'together',
]

P = ParamSpec('P')
T = TypeVar('T')

# Whether a function that is led is being run by the first process.
_leading = False
# How many processes share this host.
_beside = 1


def join(settings: Any) -> None:
  """Joins the processes of a run, before JAX has looked for devices.

  Args:
    settings: `config.hosts`.

  Raises:
    InputError: they cannot be joined, as they are said to be.
  """
  coordinator, count, index = (
    settings[name] for name in ('coordinator', 'count', 'index')
  )
  if not coordinator:
    return
  found = coordinator == 'auto'
  if not found and not 0 <= index < count:
    raise InputError(
      f'hosts.index is {index} and hosts.count {count}: number the processes '
      'from 0, or set hosts.coordinator to auto where SLURM, Open MPI, '
      'Kubernetes or a TPU pod started them.'
    )
  if not found and not re.fullmatch(r'\S+:\d{1,5}', coordinator):
    raise InputError(
      f'hosts.coordinator is {coordinator[:80]!r}, but must be HOST:PORT of '
      'the first process, auto, or empty where there is one alone.'
    )
  # Its own handler would take SIGTERM from ours.
  jax.config.update('jax_enable_preemption_service', False)
  seconds = settings['heartbeat_timeout_seconds']
  try:
    jax.distributed.initialize(
      *((None, None, None) if found else (coordinator, count, index)),
      # Which under SLURM would leave each process one device of its own.
      cluster_detection_method=None if found else 'deactivate',
      heartbeat_timeout_seconds=seconds,
      shutdown_timeout_seconds=seconds,
    )
  except (ValueError, RuntimeError) as error:
    reason = ' '.join(str(error).split())[:200]
    raise InputError(
      f'hosts.coordinator {coordinator[:80]} was not joined ({reason}): start '
      'every process with the same HOST:PORT, or none.'
    ) from error
  _check_alike(jax.devices())
  global _beside
  _beside = _count_beside()


def _check_alike(devices: Sequence[jax.Device]) -> None:
  """Checks that no process has more devices than another."""
  share = Counter(device.process_index for device in devices)
  if len(set(share.values())) > 1:
    raise InputError(
      f'the processes of this run have {sorted(share.values())} devices: start '
      'all with equally many.'
    )


def _count_beside() -> int:
  """How many are in a container of this host, or outside of all, as this is."""
  where = [socket.gethostname()]
  with contextlib.suppress(OSError):
    where.append(Path('/proc/sys/kernel/random/boot_id').read_text())
    where.append(os.readlink('/proc/self/ns/cgroup'))
  here = np.uint32(zlib.crc32(' '.join(where).encode()))
  return int((multihost_utils.process_allgather(here) == here).sum())


def beside() -> int:
  """How many processes of this run share this host and its memory."""
  return _beside


def several() -> bool:
  """Whether there are other processes."""
  return jax.distributed.is_initialized() and jax.process_count() > 1


def index() -> int:
  """The number of this process, from 0."""
  return jax.process_index() if several() else 0


def leads() -> bool:
  """Whether this process is the first, or alone."""
  return index() == 0


def is_gone(error: Exception) -> bool:
  """Whether it says that another process cannot be reached."""
  who = r'gloo|nccl|coordination|distributed|rpc'
  what = r'clos|reset|refus|timed? ?out|deadline|unavailable|heartbeat|abort'
  said = str(error).lower()
  return several() and bool(re.search(who, said) and re.search(what, said))


def together(work: Callable[[], T]) -> T:
  """What all processes do, of which none goes on unless all are done.

  Raises:
    Unavailable: in those that are done, where another one is not.
  """
  outcome = failure = None
  try:
    outcome = work()
  # Whatever it is, the others must hear of it; it is raised again below.
  except Exception as error:
    failure = error
  (failed,) = any_of(failure is not None)
  if failure:
    raise failure
  if failed:
    raise Unavailable(
      'another process of this run has met a mistake, which it names: mend '
      'that, and start all of them again.'
    )
  return outcome


def of_first(numbers: Sequence[int], most: int) -> list[int]:
  """What the first process says: at most so many numbers, 0 to 2^31 - 1."""
  if not several():
    return list(numbers[:most])
  padded = np.full(most, -1, np.int32)
  padded[: len(numbers[:most])] = numbers[:most]
  found = multihost_utils.broadcast_one_to_all(padded)
  return [int(x) for x in found if x >= 0]


def see(path: Path) -> None:
  """Waits until what another process has made is seen from here.

  A file system of many hosts may know for a while yet that it is not there.

  Raises:
    Unavailable: it is not within a minute.
  """
  until = time.monotonic() + 60
  while several() and not path.exists():
    if time.monotonic() > until:
      raise Unavailable(
        f'{path} is not seen by all processes: give a --workdir on a disk that '
        'they share.'
      )
    os.listdir(path.parent.parent)
    time.sleep(0.2)


def any_of(*flags: bool) -> tuple[bool, ...]:
  """Of each flag, whether it is up in any process; all must ask."""
  if not several():
    return flags
  everyone = multihost_utils.process_allgather(np.array(flags, bool))
  return tuple(bool(x) for x in everyone.any(axis=0))


def led(write: Callable[P, T]) -> Callable[P, T | None]:
  """A function that the first process runs, while the others wait for it.

  It is not begun before all have come to it.

  Returns:
    The function, which gives the others None.

  Raises:
    Unavailable: in the others, where it raised something in the first.
  """

  @functools.wraps(write)
  def run(*args: P.args, **kwargs: P.kwargs) -> T | None:
    global _leading
    if _leading or not several():
      return write(*args, **kwargs)
    outcome = failure = None
    any_of(False)
    if leads():
      _leading = True
      try:
        outcome = write(*args, **kwargs)
      except BaseException as error:
        failure = error
      finally:
        _leading = False
    stopped = isinstance(failure, KeyboardInterrupt)
    failed, stopped = any_of(failure is not None, stopped)
    if failure:
      raise failure
    if stopped:
      raise KeyboardInterrupt
    if failed:
      raise Unavailable(
        'the first process of this run has met a mistake, which it names: mend '
        'that, and start all of them again.'
      )
    return outcome

  return run
