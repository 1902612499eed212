"""The machine and the versions that a result was made with."""

import ctypes
import importlib.metadata
import os
import platform
import re
from collections.abc import Mapping
from typing import Any

import jax

__all__ = [
  'deterministic',
  'elsewhere',
  'environment',
  'keep_memory',
  'versions',
]

# Of malloc.h: M_ARENA_MAX, M_MMAP_MAX, M_TRIM_THRESHOLD and M_TOP_PAD. One heap
# for all threads, which nothing large bypasses, which never shrinks, and which
# grows by 64 MiB.
_HEAP = ((-8, 1), (-4, 0), (-1, -1), (-2, 1 << 26))

# Of JAX; each changes what the same program computes.
_SETTINGS = (
  'jax_default_matmul_precision',
  'jax_default_prng_impl',
  'jax_enable_x64',
)

_DETERMINISTIC = re.compile(
  r'--xla_gpu_deterministic_ops(=(true|1))?(\s|$)', re.IGNORECASE
)


def environment() -> dict[str, Any]:
  """What the bits of a result depend on, besides its settings."""
  return {
    'device': jax.devices()[0].device_kind,
    'devices': jax.device_count(),
    'processes': jax.process_count(),
    'cpu': _cpu(),
    'cores': _cores(),
    'XLA_FLAGS': os.environ.get('XLA_FLAGS', ''),
    **{name: getattr(jax.config, name) for name in _SETTINGS},
    **versions(),
  }


def elsewhere(
  then: Mapping[str, Any], now: Mapping[str, Any]
) -> list[dict[str, Any]]:
  """In what two environments differ, as `changes` of a report; if they do."""
  what = {
    name: [then[name], now[name]]
    for name in now
    if name in then and then[name] != now[name]
  }
  return [{'step': None, 'what': what}] if what else []


def keep_memory() -> None:
  """Has the C library keep what was freed, for the next step.

  XLA on a CPU asks for the temporaries of every step anew. Handed back to the
  system in between they cost a page fault for each 4 KiB. The process stays as
  large as it ever was. Call it first of all; where the C library is not
  glibc, it does nothing.
  """
  try:
    mallopt = ctypes.CDLL('libc.so.6').mallopt
  except (OSError, AttributeError):
    return
  for option, value in _HEAP:
    mallopt(option, value)


def versions() -> dict[str, str]:
  """Of the packages that compute."""
  packages = ('jax', 'jaxlib', 'flax', 'optax')
  return {name: importlib.metadata.version(name) for name in packages}


def deterministic() -> bool:
  """Whether the same config gives the same bits again on this device.

  A CPU and a TPU do; a GPU with XLA's flag for it.
  """
  flags = os.environ.get('XLA_FLAGS', '')
  return jax.default_backend() != 'gpu' or bool(_DETERMINISTIC.search(flags))


def _cores() -> int | None:
  try:
    return len(os.sched_getaffinity(0))
  except AttributeError:  # Not Linux.
    return os.cpu_count()


def _cpu() -> str:
  """Its model, for kernels differ with what it can do."""
  try:
    with open('/proc/cpuinfo', encoding='utf-8') as lines:
      for line in lines:
        if line.startswith('model name'):
          return line.partition(':')[2].strip()
  except OSError:
    pass
  return platform.processor() or platform.machine()
