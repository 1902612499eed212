"""What a person sees while it runs: one live line, and one line an epoch."""

import time
from collections.abc import Mapping

from rich.console import Console
from rich.live import Live
from rich.text import Text

__all__ = ['Progress']


class Progress:
  """Speaks of one stage at a time on a terminal, or line by line to a file."""

  def __init__(self, console: Console | None = None):
    self._console = console or _console()
    self._live = None
    self._stage, self._steps, self._start = '', 0, 0.0

  def say(self, text: str) -> None:
    """Prints a line that stays."""
    self._console.print(Text(text), soft_wrap=not self._console.is_terminal)

  def print(self, thing) -> None:
    """Prints whatever rich can print, such as a table."""
    self._console.print(thing)

  def begin(self, stage: str, steps: int) -> None:
    """Starts a stage of so many steps; the first compiles."""
    self._stage, self._steps, self._start = stage, steps, time.perf_counter()
    if self._console.is_terminal:
      self._live = Live(console=self._console, transient=True)
      self._live.start()
      self._show('compiling')
    else:
      self.say(f'{stage}: compiling')

  def update(
    self, step: int, epoch: int, metrics: Mapping[str, float], rate: float
  ) -> None:
    """Refreshes the live line."""
    self._show(self._line(step, epoch, metrics, rate))

  def epoch(
    self, step: int, epoch: int, metrics: Mapping[str, float], rate: float
  ) -> None:
    """Says what an epoch gave: for good to a file, live on a terminal."""
    line = self._line(step, epoch, metrics, rate)
    if self._live:
      self._show(line)
    else:
      self.say(f'{self._stage}: {line}')

  def end(self, outcome: str = '') -> None:
    """Ends the stage, with a line that stays if there is something to say."""
    if self._live:
      self._live.stop()
      self._live = None
    if outcome:
      self.say(f'{self._stage}: {outcome}')

  def _line(self, step, epoch, metrics, rate) -> str:
    spent = time.perf_counter() - self._start
    left = spent / max(1, step) * (self._steps - step)
    shown = ' · '.join(f'{name} {value:.4g}' for name, value in metrics.items())
    return (
      f'epoch {epoch} · {shown} · {rate:,.0f} examples/s · {left:.0f} s left'
    )

  def _show(self, line: str) -> None:
    if self._live:
      text = Text(f'{self._stage}: {line}', no_wrap=True, overflow='ellipsis')
      self._live.update(text)


def _console() -> Console:
  """Of the terminal's width; into a file, wide enough for the table."""
  console = Console(highlight=False)
  return console if console.is_terminal else Console(highlight=False, width=120)
