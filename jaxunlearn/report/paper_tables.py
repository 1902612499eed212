"""Tables I and II of the paper, and one of degrees, from a matrix of runs."""

from collections.abc import Callable
from typing import Any

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
from jaxunlearn.report.grids import Grid
from jaxunlearn.report.matrix import Matrix
from jaxunlearn.report.paper_words import degrees as degree_words
from jaxunlearn.report.paper_words import (
  percent,
  unconverged,
  unfinished,
  unreferenced,
)

__all__ = ['degrees', 'table1', 'table2']

_NONE = '–'


def _rate(number: float) -> str:
  return f'{100 * number:.2f}'


# Heading, name in the CSV, where it lies, how it is written.
Columns = tuple[tuple[str, str, str, Callable], ...]

_COLUMNS: Columns = (
  ('acc forget', 'accuracy_forget', 'accuracy.forget', _rate),
  ('acc retain', 'accuracy_retain', 'accuracy.retain', _rate),
  ('FR', 'forgetting_rate', 'forgetting_rate', _rate),
  ('MRR', 'memory_retention_rate', 'memory_retention_rate', _rate),
  ('similarity', 'similarity', 'similarity', _rate),
  ('seconds', 'seconds', 'seconds.to_convergence', '{:.2f}'.format),
  ('seconds, all', 'seconds_all', 'seconds.total', '{:.2f}'.format),
)


_GAN = 'probes.spd_gan.'
_DEGREE_COLUMNS: Columns = (
  ('acc forget', 'accuracy_forget', 'accuracy.forget', _rate),
  ('degree', 'degree', f'{_GAN}degree', _rate),
  ('acc before', 'accuracy_before', f'{_GAN}accuracy_before', _rate),
  ('acc original', 'accuracy_original', f'{_GAN}accuracy_original', _rate),
  ('acc judged', 'accuracy_judged', f'{_GAN}accuracy_judged', _rate),
  ('L2', 'noise_l2', f'{_GAN}noise_l2', '{:.2f}'.format),
  ('L∞', 'noise_linf', f'{_GAN}noise_linf', '{:.3f}'.format),
  ('PSNR', 'psnr', f'{_GAN}psnr', '{:.2f}'.format),
  ('SSIM', 'ssim', f'{_GAN}ssim', '{:.3f}'.format),
)


def table1(matrix: Matrix) -> Grid:
  """Table I: how many entries each strategy perturbs or trains anew.

  Mean ± standard deviation over seeds; of one seed's ratios the mean counts.
  """
  cells = [c for c in matrix.cells if c.recipe not in ('original', 'retrain')]
  networks = distinct(cells, 'network')
  lines, whole = [], ['all entries']
  plain: list[list[Any]] = [
    ['network', 'strategy', 'recipe']
    + _headings('scalars')
    + _headings('leaves')
    + ['total_scalars', 'total_leaves']
  ]
  for network in networks:
    total = [
      measure(take(cells, network=network), f'selected.total_{unit}')
      for unit in ('scalars', 'leaves')
    ]
    # The same in each run, so without a deviation.
    whole.append(_count(*(x and x._replace(std=None) for x in total)))
  for row in distinct(cells, 'row'):
    line = [row]
    for network in networks:
      ours = take(cells, row=row, network=network)
      counts = [_by_seed(ours, f'selected.{u}') for u in ('scalars', 'leaves')]
      line.append(_count(*counts))
      totals = [
        measure(ours, f'selected.total_{unit}')
        for unit in ('scalars', 'leaves')
      ]
      plain.append(
        [network, row, ours[0].recipe if ours else None]
        + [x for count in counts for x in _numbers(count)]
        + [total and round(total.mean) for total in totals]
      )
    lines.append(line)
  return Grid(
    'table1',
    'Table I',
    'Entries that each strategy selects: scalars, in so many leaves '
    '(parameter arrays with at least one); mean ± standard deviation over '
    'seeds, each with the mean of its ratios.',
    ['strategy', *networks],
    [lines, [whole]],
    1,
    plain,
    unfinished(cells),
  )


def table2(matrix: Matrix) -> Grid:
  """Table II: the paper's measurements by network, ratio and strategy.

  Mean ± standard deviation over seeds. Seconds run to convergence, as in the
  paper: selection, perturbation and the epochs up to there, without compiling;
  beside them those of all epochs.
  """
  cells = [cell for cell in matrix.cells if cell.recipe != 'original']
  blocks, plain = _by_row(cells, _COLUMNS)
  return Grid(
    'table2',
    'Table II',
    'Accuracies, rates and similarity in per cent; seconds to '
    'convergence and of all epochs, without compiling; mean ± standard '
    'deviation over n seeds.',
    ['network', 'forget', 'strategy', *(name for name, *_ in _COLUMNS), 'n'],
    blocks,
    3,
    plain,
    unfinished(cells) + unconverged(cells),
  )


def degrees(matrix: Matrix) -> Grid:
  """The degree by SPD-GAN of every model, and what one needs to read it.

  Mean ± standard deviation over seeds. The references are rows like any other:
  the original against itself, the retrained, one more retraining, and the
  original fine-tuned on all data.
  """
  cells = [
    cell
    for cell in matrix.cells
    if not cell.done or value(cell, f'{_GAN}against')
  ]
  blocks, plain = _by_row(cells, _DEGREE_COLUMNS)
  return Grid(
    'degrees',
    'Unlearning degree',
    'Accuracy on forget, in per cent, and the degree, Eq. 14, in points; the '
    'accuracy there of the model that each is held against (the original, '
    'unless said) before and after the noise, which should leave it as it was, '
    'and of the judged model after it; the noise: L2 (mean) and L∞ (largest) '
    'in pixels of [0, 1], PSNR in dB, SSIM; mean ± standard deviation over n '
    'seeds.',
    [
      *('network', 'forget', 'model'),
      *(name for name, *_ in _DEGREE_COLUMNS),
      'n',
    ],
    blocks,
    3,
    plain,
    unfinished(cells) + unreferenced(cells) + degree_words(cells),
  )


def _line_name(cells: list[Cell]) -> str:
  """The row, and what it is held against where that is not the original."""
  row, *_ = distinct(cells, 'row')
  whom = {value(cell, f'{_GAN}against') for cell in cells} - {None, 'original'}
  return f'{row}, against {" and ".join(sorted(whom))}' if whom else row


def _by_row(
  cells: list[Cell], columns: Columns
) -> tuple[list[list[list[str]]], list[list[Any]]]:
  """Blocks of lines by network and ratio, a line a row; and plain numbers."""
  blocks = []
  plain: list[list[Any]] = [
    ['network', 'forget_fraction', 'strategy', 'recipe', 'state']
    + [name for column in columns for name in _headings(column[1])]
  ]
  for network in distinct(cells, 'network'):
    for fraction in fractions(cells):
      place = take(cells, network=network, fraction=fraction)
      block = []
      for row in distinct(place, 'row'):
        ours = take(place, row=row)
        found = [measure(ours, where) for _, _, where, _ in columns]
        hows = [how for *_, how in columns]
        done = sum(cell.done for cell in ours)
        texts = [
          _of_some(_text(x, how), x, done)
          for x, how in zip(found, hows, strict=True)
        ]
        if not done:
          texts[0] = _state(ours)
        head = [] if block else [network, percent(fraction)]
        name = _line_name(ours) if columns is _DEGREE_COLUMNS else row
        block.append([*(head or ['', '']), name, *texts, str(done)])
        plain.append(
          [network, fraction, row, ours[0].recipe]
          + ['done' if done else _state(ours)]
          + [x for count in found for x in _numbers(count)]
        )
      if block:
        blocks.append(block)
  return blocks, plain


def _headings(name: str) -> list[str]:
  return [f'{name}_mean', f'{name}_std', f'{name}_n']


def _numbers(found: Statistic | None) -> list[float | None]:
  return list(found) if found else [None, None, 0]


def _text(found: Statistic | None, how: Callable[[float], str]) -> str:
  if found is None:
    return _NONE
  spread = '' if found.std is None else f' ± {how(found.std)}'
  return how(found.mean) + spread


def _of_some(text: str, found: Statistic | None, done: int) -> str:
  """The text, with its own n where not all that are done have the number."""
  return f'{text} (n = {found.n})' if found and found.n < done else text


def _state(cells: list[Cell]) -> str:
  return 'failed' if any(cell.failed for cell in cells) else 'not run'


def _count(scalars: Statistic | None, leaves: Statistic | None) -> str:
  if scalars is None or leaves is None:
    return _NONE
  # A count that is the same for every seed has nothing to deviate.
  texts = [
    _text(x if x.std else x._replace(std=None), _whole)
    for x in (scalars, leaves)
  ]
  return ' in '.join(texts)


def _whole(number: float) -> str:
  """A count; the mean of small ones may lie between."""
  exact = number >= 100 or number == round(number)
  return f'{number:,.0f}' if exact else f'{number:.1f}'


def _by_seed(cells: list[Cell], where: str) -> Statistic | None:
  """The statistic over seeds of each seed's mean over its ratios."""
  means = (
    statistic(
      value(cell, where) for cell in take(cells, seed=seed) if cell.done
    )
    for seed in distinct(cells, 'seed')
  )
  return statistic(mean and mean.mean for mean in means)
