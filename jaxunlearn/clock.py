"""Wall time by name, with XLA's compile time kept apart."""

import contextlib
import time
from collections.abc import Iterator, Mapping

import jax
import jax.monitoring

__all__ = ['Clock']

_COMPILING = (
  '/jax/core/compile/jaxpr_trace_duration',
  '/jax/core/compile/jaxpr_to_mlir_module_duration',
  '/jax/core/compile/backend_compile_duration',
)
_compiled = 0.0


def _listen(event: str, seconds: float, **_) -> None:
  global _compiled
  if event in _COMPILING:
    _compiled += seconds


jax.monitoring.register_event_duration_secs_listener(_listen)


class Clock:
  """Adds up seconds by name; tracing and compiling count as `compile` alone.

  Attributes:
    seconds: {name: seconds}, and the sum of compile times as `compile`.
  """

  def __init__(self):
    self.seconds = {'compile': 0.0}

  def go_on(self, seconds: Mapping[str, float]) -> None:
    """Goes on from what the clock of an earlier attempt had counted."""
    self.seconds = dict(seconds)

  @contextlib.contextmanager
  def measure(self, name: str) -> Iterator[None]:
    """Times a block, which must itself wait for the device's results."""
    start, compiled = time.perf_counter(), _compiled
    try:
      yield
    finally:
      compiled = _compiled - compiled
      wall = time.perf_counter() - start
      self.seconds['compile'] += compiled
      self.seconds[name] = self.seconds.get(name, 0.0) + max(
        0.0, wall - compiled
      )
