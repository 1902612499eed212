"""The models of a matrix of runs, and means over its seeds."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
  'Cell',
  'Statistic',
  'distinct',
  'fractions',
  'measure',
  'names',
  'statistic',
  'take',
  'value',
]


class Cell(NamedTuple):
  """One model of one run of the matrix.

  Attributes:
    network: its name; with the settings that tell it from another run of the
      same network and ratio, such as its width, where there are some.
    width: of the network.
    fraction: of the training set that is forgotten; None where a request
      names the examples and the run has not counted them yet.
    seed: of request, training and unlearning; `0/1/0` where they differ.
    row: the name of the model in the report.
    recipe: what made it.
    settings: the recipe's hyper-parameters.
    values: its entry in the report; None where the run has no report.
    history: its lines of metrics.jsonl.
    folder: of the run.
    failed: a sentence where it failed.
    report: of the run, schema 1; None where it is not finished.
  """

  network: str
  width: int | None
  fraction: float | None
  seed: str
  row: str
  recipe: str
  settings: Mapping[str, Any]
  values: Mapping[str, Any] | None
  history: tuple[Mapping[str, Any], ...]
  folder: Path
  failed: str | None
  report: Mapping[str, Any] | None

  @property
  def done(self) -> bool:
    """Whether it was run and did not fail."""
    return self.values is not None and self.failed is None


class Statistic(NamedTuple):
  """A mean over seeds.

  Attributes:
    mean: of n numbers.
    std: the sample's standard deviation (n − 1); None for one number.
    n: how many.
  """

  mean: float
  std: float | None
  n: int


def statistic(numbers: Iterable[float | None]) -> Statistic | None:
  """Mean and deviation of what was measured; None where nothing was.

  Example:
    >>> statistic([1.0, None, 3.0])
    Statistic(mean=2.0, std=1.4142135623730951, n=2)
    >>> statistic([1.0])
    Statistic(mean=1.0, std=None, n=1)
  """
  known = [float(x) for x in numbers if x is not None]
  if not known:
    return None
  std = statistics.stdev(known) if len(known) > 1 else None
  return Statistic(statistics.fmean(known), std, len(known))


def measure(
  cells: Iterable[Cell], where: str | Callable[[Cell], float | None]
) -> Statistic | None:
  """The statistic of one measurement over the cells that are done.

  Args:
    cells: of one network, ratio and row, so that they differ in the seed.
    where: a dotted path in a cell's values, or a function of a cell.
  """
  if isinstance(where, str):
    path = where
    return measure(cells, lambda cell: value(cell, path))
  return statistic(where(cell) for cell in cells if cell.done)


def value(cell: Cell, where: str) -> Any:
  """What lies at a dotted path in the cell's values, or None."""
  found: Any = cell.values
  for name in where.split('.'):
    if not isinstance(found, Mapping):
      return None
    found = found.get(name)
  return found


def take(cells: Iterable[Cell], **wanted: Any) -> list[Cell]:
  """The cells with these attributes."""
  return [
    cell
    for cell in cells
    if all(getattr(cell, name) == x for name, x in wanted.items())
  ]


def distinct(cells: Iterable[Cell], attribute: str) -> list[Any]:
  """The values of an attribute, in the order in which they first come."""
  return list(dict.fromkeys(getattr(cell, attribute) for cell in cells))


def fractions(cells: Iterable[Cell]) -> list[float]:
  """The ratios, ascending."""
  known = {cell.fraction for cell in cells} - {None}
  return sorted(known)


def names(items: Sequence[str]) -> str:
  """`a, b and c`."""
  *first, last = items
  return f'{", ".join(first)} and {last}' if first else last
