"""SIGTERM and Ctrl-C, noted until a place is reached where one can stop."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator

__all__ = ['noted']

# Some send a signal to a process and to its group: that is one.
_ONE_SECONDS = 1.0
_FIRST = b'\njaxunlearn: stopping at the next step; once more stops at once.\n'


@contextlib.contextmanager
def noted() -> Iterator[Callable[[], bool]]:
  """Within it, a first signal is noted; a second one stops at once.

  Yields:
    () -> whether one has come.

  Raises:
    KeyboardInterrupt: at the second.
  """
  came = []

  def note(number: int, frame) -> None:
    del number, frame
    now = time.monotonic()
    if came and now - came[0] > _ONE_SECONDS:
      raise KeyboardInterrupt
    if came:
      return
    came.append(now)
    # Past Python's buffers, which the signal may have found half written.
    with contextlib.suppress(OSError):
      os.write(2, _FIRST)

  numbers = (signal.SIGTERM, signal.SIGINT)
  before = {number: signal.signal(number, note) for number in numbers}
  try:
    yield lambda: bool(came)
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
