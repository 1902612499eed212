"""What a benchmark found: two rows of numbers, pair by pair."""

import statistics
from typing import Any, NamedTuple


class Result(NamedTuple):
  """Ours beside theirs, measured in turns.

  Attributes:
    name: benchmark/case.
    ours: one number a round, in `unit`.
    against: what theirs is.
    theirs: as many numbers.
    target: of ours / theirs, at most; None: none was set.
    unit: of both, such as 's'.
    floor: what the machine would need at its measured rates, in `unit`; None
      where there is no such bound.
    note: what else to know, in words.
    points: (size, seconds) that it was made from, if any.
    least: of ours / theirs, for what is predicted; None: none was set.
  """

  name: str
  ours: tuple[float, ...]
  against: str
  theirs: tuple[float, ...]
  target: float | None = None
  unit: str = 's'
  floor: float | None = None
  note: str = ''
  points: tuple[tuple[float, float], ...] = ()
  least: float | None = None

  @property
  def ratios(self) -> list[float]:
    """Ours / theirs, of each pair."""
    return [a / b for a, b in zip(self.ours, self.theirs, strict=True)]

  @property
  def ratio(self) -> float:
    """Their median."""
    return statistics.median(self.ratios)

  @property
  def met(self) -> bool | None:
    """Whether the target is; None where there is none."""
    if self.target is None:
      return None
    return (self.least or -float('inf')) <= self.ratio <= self.target

  def to_json(self) -> dict[str, Any]:
    """All of it, and what follows from it."""
    return {
      **self._asdict(),
      'n': len(self.ours),
      'median': {
        'ours': statistics.median(self.ours),
        'theirs': statistics.median(self.theirs),
      },
      'ratios': self.ratios,
      'ratio': self.ratio,
      'met': self.met,
    }

  def line(self) -> str:
    """One line for a person."""
    ours, theirs = map(statistics.median, (self.ours, self.theirs))
    said = [
      f'{self.name}: {ours:.3g} {self.unit}',
      f'{self.against} {theirs:.3g} {self.unit}',
      f'ratio {self.ratio:.2f}'
      f' ({min(self.ratios):.2f} to {max(self.ratios):.2f}, n = '
      f'{len(self.ours)})',
    ]
    if self.target is not None:
      word = 'met' if self.met else 'missed'
      least = '' if self.least is None else f'{self.least:.2g} to '
      said.append(f'target {least}{self.target:g} {word}')
    if self.floor is not None:
      said.append(f'floor {self.floor:.3g} {self.unit}')
    return ' · '.join([*said, *filter(None, [self.note])])
