"""The tables of reproduction.md: python docs/side_by_side.py [FOLDER].

Prints Table II, accuracies by epoch, accelerations and degrees, as far as the
results on disk hold their numbers. FOLDER has a workdir of `configs/paper/` in
each folder of its own; docs/results/small by default. A test holds the document
to what is printed.
"""

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from jaxunlearn.report import matrix
from jaxunlearn.report.cells import (
  Cell,
  Statistic,
  distinct,
  fractions,
  measure,
  statistic,
  take,
  value,
)
from jaxunlearn.report.panels import by_epoch

DOCS = Path(__file__).parent
SMALL = DOCS / 'results' / 'small'
# Heading, name in the paper's table, where it lies, times, digits.
_RATES = (
  ('acc forget', 'accuracy_forget', 'accuracy.forget', 100, 2),
  ('acc retain', 'accuracy_retain', 'accuracy.retain', 100, 2),
  ('FR', 'forgetting_rate', 'forgetting_rate', 100, 2),
  ('MRR', 'memory_retention_rate', 'memory_retention_rate', 100, 2),
  ('similarity', 'similarity', 'similarity', 100, 2),
  ('seconds, to convergence / in all', 'seconds', 'seconds.total', 1, 1),
)
_TIMES = (
  ('seconds to convergence', 'seconds', 'seconds.to_convergence', 1, 1),
  ('acceleration', 'acceleration', 'acceleration', 1, 2),
  ('in epoch', '', 'converged_epoch', 1, 1),
  ('seconds in all', '', 'seconds.total', 1, 1),
  ('epochs in all', '', 'epochs', 1, 1),
  ('forget', '', 'accuracy.forget', 100, 2),
  ('retain', '', 'accuracy.retain', 100, 2),
)
_GAN = 'probes.spd_gan.'
_NOISE = (
  ('acc of the original before', '', f'{_GAN}accuracy_before', 100, 2),
  ('after the noise', '', f'{_GAN}accuracy_original', 100, 2),
  ('acc of the judged', '', f'{_GAN}accuracy_judged', 100, 2),
  ('L2', '', f'{_GAN}noise_l2', 1, 2),
  ('L∞', '', f'{_GAN}noise_linf', 1, 3),
  ('PSNR, dB', '', f'{_GAN}psnr', 1, 2),
  ('SSIM', '', f'{_GAN}ssim', 1, 3),
)
# The two degrees that the paper prints in numbers.
_DEGREES = {('top_k', 0.1): '88.36', ('random_k', 0.05): '86.04'}


def tables(folder: Path) -> Iterator[str]:
  """Each table, as Markdown: of each network its own."""
  found = _read(folder)
  for name, make in (
    ('table2', lambda own: rows(own, _RATES)),
    ('figure6', courses),
    ('figure8', courses),
    ('figure7', lambda own: rows(own, _TIMES, 'converged')),
    ('degrees', degrees),
  ):
    # Of the original there is something to say beside a degree alone.
    cells = [
      cell
      for cell in found.get(name, [])
      if name == 'degrees' or cell.row != 'original'
    ]
    for network in distinct(cells, 'network'):
      yield make(take(cells, network=network))
  for network in distinct(found.get('degrees', []), 'network'):
    yield rows(_judged(take(found['degrees'], network=network)), _NOISE)


def rows(cells: Sequence[Cell], columns: tuple, last: str = 'n') -> str:
  """A line a ratio and row: paper / ours, where the paper has the number.

  Args:
    cells: of one network.
    columns: of the table.
    last: 'n', or 'converged' for how many of n did.
  """
  lines = []
  for fraction, row, ours in _places(cells):
    theirs = _printed(ours[0].network, fraction, row)
    texts = [
      _beside(theirs.get(name), _text(measure(ours, where), times, digits))
      for _, name, where, times, digits in columns
    ]
    count = str(len(ours))
    if last == 'converged':
      reached = measure(ours, 'converged_epoch')
      count = f'{reached.n if reached else 0} of {count}'
    lines.append((fraction, [f'`{row}`', *texts, count]))
  return _by_ratio(cells, [*(head for head, *_ in columns), last], lines)


def courses(cells: Sequence[Cell]) -> str:
  """Accuracy on retain and on forget after each epoch; means over seeds."""
  lines = []
  for fraction, row, ours in _places(cells):
    arrows = [
      ' → '.join(_text(statistic(x), 1, 2, spread=False) for x in of.values())
      for of in (by_epoch(ours, split) for split in ('retain', 'forget'))
    ]
    lines.append((fraction, [f'`{row}`', *arrows, str(len(ours))]))
  heads = ['retain by epoch', 'forget by epoch', 'n']
  return _by_ratio(cells, heads, lines)


def degrees(cells: Sequence[Cell]) -> str:
  """The degree of each model, a column a ratio; paper / ours."""
  cells = _judged(cells)
  network, *_ = distinct(cells, 'network')
  heads, lines = [network], []
  for fraction in fractions(cells):
    count = len(distinct(take(cells, fraction=fraction), 'seed'))
    heads.append(f'{100 * fraction:g} % (n = {count})')
  for row in distinct(cells, 'row'):
    line = [f'`{row}`']
    for fraction in fractions(cells):
      found = measure(take(cells, row=row, fraction=fraction), f'{_GAN}degree')
      theirs = _DEGREES.get((row, fraction)) if network == 'resnet18' else None
      line.append(_beside(theirs, _text(found, 100, 2)))
    lines.append(line)
  return _markdown(heads, lines, 1)


def _read(folder: Path) -> dict[str, list[Cell]]:
  """What each table and figure is made of, from all workdirs together.

  Raises:
    ValueError: two hold the same cell.
  """
  found: dict[str, list[Cell]] = {}
  for path in sorted(folder.glob('*/config.json')):
    for one in matrix.read_all(path.parent):
      for name in one.paper:
        found.setdefault(name, []).extend(c for c in one.cells if c.done)
  for name, cells in found.items():
    places = [(c.network, c.fraction, c.seed, c.row) for c in cells]
    if len(set(places)) < len(places):
      raise ValueError(f'two workdirs in {folder} hold the same of {name}.')
  return found


def _judged(cells: Sequence[Cell]) -> list[Cell]:
  """Those with a degree, the original against itself last."""
  found = [c for c in cells if value(c, f'{_GAN}degree') is not None]
  return sorted(found, key=lambda cell: cell.row == 'original')


def _places(cells: Sequence[Cell]) -> Iterator[tuple[float, str, list[Cell]]]:
  """(ratio, row, its seeds)."""
  for fraction in fractions(cells):
    place = take(cells, fraction=fraction)
    for row in distinct(place, 'row'):
      yield fraction, row, take(place, row=row)


def _by_ratio(
  cells: Sequence[Cell],
  heads: list[str],
  lines: Sequence[tuple[float, list[str]]],
) -> str:
  """A table of (ratio, the rest of a line), each ratio named once."""
  body, before = [], None
  for fraction, line in lines:
    body.append([f'{100 * fraction:g} %' if fraction != before else '', *line])
    before = fraction
  return _markdown(['forget', cells[0].network, *heads], body, 2)


def _printed(network: str, fraction: float, row: str) -> Mapping[str, str]:
  """A line of the paper's Table II, with the acceleration that it implies."""
  with (DOCS / 'reproduction' / 'paper_table2.csv').open() as file:
    lines = {(x['forget'], x['strategy']): x for x in csv.DictReader(file)}
  ratio = f'{100 * fraction:g}'
  if network != 'resnet18' or (ratio, row) not in lines:
    return {}
  found, whole = (lines[ratio, name] for name in (row, 'retrained'))
  speed = float(whole['seconds']) / float(found['seconds'])
  return found | {'acceleration': speed}


def _text(
  found: Statistic | None, times: float, digits: int, spread: bool = True
) -> str:
  if found is None:
    return '–'
  text = f'{times * found.mean:.{digits}f}'
  if spread and found.std is not None:
    text += f' ± {times * found.std:.{digits}f}'
  return text


def _beside(theirs: str | float | None, ours: str) -> str:
  return f'{float(theirs):.2f} / {ours}' if theirs else ours


def _markdown(heads: list[str], lines: list[list[str]], words: int) -> str:
  """A table whose first `words` columns are text, the rest numbers."""
  rule = ['---'] * words + ['---:'] * (len(heads) - words)
  return '\n'.join(f'| {" | ".join(x)} |' for x in [heads, rule, *lines])


if __name__ == '__main__':
  print('\n\n'.join(tables(Path(*sys.argv[1:2]) if sys.argv[1:] else SMALL)))
