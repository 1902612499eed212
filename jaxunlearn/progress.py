"""What a person sees while it runs: one live line, and one line an epoch."""

import os
import sys

from rich.console import Console
from rich.live import Live
from rich.text import Text

from jaxunlearn import hosts

__all__ = ['Progress']


class Progress:
  """Speaks of one stage at a time on a terminal, or line by line to a file."""

  def __init__(self, console: Console | None = None):
    self._console = console or _console()
    self._live = None
    self._stage = ''

  @property
  def width(self) -> int:
    """Columns that a line has."""
    return self._console.width

  def say(self, text: str) -> None:
    """Prints a line that stays."""
    self._console.print(Text(text), soft_wrap=not self._console.is_terminal)

  def print(self, thing) -> None:
    """Prints whatever rich can print, such as a table."""
    self._console.print(thing)

  def begin(self, stage: str) -> None:
    """Starts a stage, which first compiles."""
    self._stage = stage
    if self._console.is_terminal:
      self._live = Live(console=self._console, transient=True)
      self._live.start()
      self._show('compiling')
    else:
      self.say(f'{stage}: compiling')

  def update(self, line: str) -> None:
    """Refreshes the live line."""
    self._show(line)

  def epoch(self, line: str) -> None:
    """Says what an epoch gave: for good to a file, live on a terminal."""
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

  def _show(self, line: str) -> None:
    if self._live:
      text = Text(f'{self._stage}: {line}', no_wrap=True, overflow='ellipsis')
      self._live.update(text, refresh=True)


class _Console(Console):
  """Goes on where nobody reads any more, as after Ctrl-C in `... | tee log`.

  Rich would end the process, before what there is was saved.
  """

  def on_broken_pipe(self) -> None:
    self.quiet = True
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _console() -> Console:
  """The terminal; or plain lines, into a file or a notebook.

  Of several processes the first one speaks.
  """
  if not hosts.leads():
    return _Console(quiet=True)
  if sys.stdout.isatty():
    return _Console(highlight=False)
  return _Console(
    highlight=False, force_jupyter=False, force_terminal=False, width=120
  )
