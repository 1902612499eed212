"""Several processes that run one experiment, on one host or on many.

All run the same program over one mesh. What lies in the workdir, which all of
them see, is written by the first.
"""

import functools
import re
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxunlearn.errors import InputError, Unavailable

__all__ = ['any_of', 'index', 'join', 'leads', 'led', 'several']

P = ParamSpec('P')
T = TypeVar('T')

# Whether a function that is led is being run by the first process.
_leading = False


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
      heartbeat_timeout_seconds=seconds,
      shutdown_timeout_seconds=seconds,
    )
  except (ValueError, RuntimeError) as error:
    reason = ' '.join(str(error).split())[:200]
    raise InputError(
      f'hosts.coordinator {coordinator[:80]} was not joined ({reason}): start '
      'every process with the same HOST:PORT, or none.'
    ) from error


def several() -> bool:
  """Whether there are other processes."""
  return jax.distributed.is_initialized() and jax.process_count() > 1


def index() -> int:
  """The number of this process, from 0."""
  return jax.process_index() if several() else 0


def leads() -> bool:
  """Whether this process is the first, or alone."""
  return index() == 0


def any_of(*flags: bool) -> tuple[bool, ...]:
  """Of each flag, whether it is up in any process; all must ask."""
  if not several():
    return flags
  everyone = multihost_utils.process_allgather(np.array(flags, bool))
  return tuple(bool(x) for x in everyone.any(axis=0))


def led(write: Callable[P, T]) -> Callable[P, T | None]:
  """A function that the first process runs, while the others wait for it.

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
    if leads():
      _leading = True
      try:
        outcome = write(*args, **kwargs)
      except BaseException as error:
        failure = error
      finally:
        _leading = False
    (failed,) = any_of(failure is not None)
    if failure:
      raise failure
    if failed:
      raise Unavailable('the first process of this run has stopped, and why.')
    return outcome

  return run
