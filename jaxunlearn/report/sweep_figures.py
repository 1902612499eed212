"""Figures 5 and 7 of the paper: against K, and against the ratio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jaxunlearn.report import panels
from jaxunlearn.report.cells import (
  Cell,
  distinct,
  fractions,
  measure,
  names,
  take,
  value,
)
from jaxunlearn.report.matrix import Matrix
from jaxunlearn.report.panels import SMALL
from jaxunlearn.report.paper_words import is_reference, percent

if TYPE_CHECKING:
  import matplotlib.axes

__all__ = ['figure5', 'figure7']

_READINGS = ('leaves', 'scalars')


def figure5(matrix: Matrix, path: Path) -> list[str] | None:
  """Fig. 5: accuracy on retain minus that on forget, against K.

  A panel a ratio; leaves solid, scalars dashed. K = 0, fine-tuning alone,
  belongs to both readings. The axis of K is one of square roots, because most
  of a sweep lies at small K.

  Args:
    matrix: the runs.
    path: of the PNG, written whole or not at all.

  Returns:
    Sentences to stand under the figure; None where there is nothing to draw,
    and nothing is written.
  """
  cells = [
    c for c in matrix.cells if c.done and c.recipe in ('top_k', 'finetune')
  ]
  if not any(cell.recipe == 'top_k' for cell in cells):
    return None
  ratios = fractions(cells)
  lines, columns = panels.wrapped(len(ratios))
  figure, grid = panels.canvas(lines, columns, 1.9, sharex=True, sharey=True)
  left_out: list[str] = []
  for fraction, axes in zip(ratios, grid, strict=False):
    for i, network in enumerate(distinct(cells, 'network')):
      place = take(cells, network=network, fraction=fraction)
      for over in _READINGS:
        rows, doubled = _sweep(place, over)
        left_out += doubled
        points = {
          k: found
          for k, row in rows.items()
          if (found := measure(take(place, row=row), _difference))
        }
        if not points.keys() - {0}:
          continue
        look = panels.style(i)
        if over == 'scalars':
          look |= {'linestyle': '--', 'markerfacecolor': 'white'}
        label = f'{panels.short(network, 40)}, {over}'
        panels.line(axes, points, label, markevery=1, **look)
        best = max(points, key=lambda k: points[k].mean)
        _star(axes, [best], [points[best].mean], look['color'])
    # Last, and empty: the legend's example, which is no line's.
    _star(axes, [], [], 'white', 'largest of its line')
    # Room for the star of the highest.
    axes.margins(y=0.12)
    axes.set_title(f'{percent(fraction)} forgotten', fontsize=SMALL, pad=3)
  _square_roots(grid, {_k(cell, o) for cell in cells for o in _READINGS})
  panels.edge(grid, len(ratios), columns, 'K, by its square root')
  figure.supylabel('acc(retain) − acc(forget), points', fontsize=SMALL + 1)
  panels.finish(figure, panels.caption(cells), path)
  if not left_out:
    return []
  rows = names(list(dict.fromkeys(left_out)))
  return [f'Not shown, because an earlier row has the same K: {rows}.']


def figure7(matrix: Matrix, path: Path) -> list[str] | None:
  """Fig. 7: acceleration against retraining by ratio; as `figure5`.

  A panel a network; models that did not converge have none.
  """
  strategies = [c for c in matrix.cells if c.done and not is_reference(c)]
  cells = [c for c in strategies if value(c, 'acceleration') is not None]
  if not cells:
    return None
  networks, rows = distinct(strategies, 'network'), distinct(strategies, 'row')
  figure, grid = panels.canvas(
    *panels.wrapped(len(networks)), 1.9, sharex=True, sharey=True
  )
  ratios = fractions(strategies)
  for network, axes in zip(networks, grid, strict=False):
    for i, row in enumerate(rows):
      ours = take(cells, network=network, row=row)
      points = {
        100 * fraction: found
        for fraction in ratios
        if (found := measure(take(ours, fraction=fraction), 'acceleration'))
      }
      if len(ratios) == 1:
        # Side by side, where there is no line to follow.
        points = {
          x + i - (len(rows) - 1) / 2: found for x, found in points.items()
        }
      if points:
        panels.line(
          axes, points, panels.short(row), markevery=1, **panels.style(i)
        )
    if not take(cells, network=network):
      panels.empty(axes, 'they or the retrained\ndid not converge')
    axes.axhline(
      1, color=panels.GREY, linestyle=':', linewidth=1, label='retraining'
    )
    axes.set_title(panels.short(network, 40), fontsize=SMALL, pad=3)
    axes.set_xticks([100 * fraction for fraction in ratios])
    axes.set_xticklabels([f'{100 * fraction:g}' for fraction in ratios])
  speeds = [value(cell, 'acceleration') for cell in cells]
  if max(1, *speeds) > 10 * min(1, *speeds):
    grid[0].set_yscale('log')
    _plain_log(grid)
  columns = panels.wrapped(len(networks))[1]
  panels.edge(grid, len(networks), columns, 'forgotten (% of training set)')
  figure.supylabel(
    'acceleration (×), log'
    if grid[0].get_yscale() == 'log'
    else 'acceleration (×)',
    fontsize=SMALL + 1,
  )
  missing = len(strategies) - len(cells)
  title = panels.caption(cells)
  if missing:
    title += f'\n{missing} of {len(strategies)} models left out: not converged'
  panels.finish(figure, title, path)
  return [*_left_out(strategies, cells), _forgot(cells)]


def _sweep(
  cells: Sequence[Cell], over: str
) -> tuple[dict[int, str], list[str]]:
  """{K: row} in the order of K, the first row of each; and the other rows."""
  rows: dict[int, str] = {}
  others = []
  for row in distinct(cells, 'row'):
    k = _k(take(cells, row=row)[0], over)
    if k is None:
      continue
    if rows.setdefault(k, row) != row:
      others.append(row)
  return dict(sorted(rows.items())), others


def _k(cell: Cell, over: str) -> int | None:
  """The cell's K in that reading; fine-tuning alone has 0 in both."""
  if cell.recipe == 'finetune' or cell.settings.get('k') == 0:
    return 0
  return cell.settings.get('k') if cell.settings.get('over') == over else None


def _difference(cell: Cell) -> float | None:
  retain, forget = (
    value(cell, f'accuracy.{split}') for split in ('retain', 'forget')
  )
  return None if None in (retain, forget) else 100 * (retain - forget)


def _star(
  axes: matplotlib.axes.Axes,
  x: list[float],
  y: list[float],
  colour: str,
  label: str | None = None,
) -> None:
  axes.plot(
    x,
    y,
    linestyle='',
    marker='*',
    markersize=10,
    color='black',
    markerfacecolor=colour,
    markeredgewidth=0.7,
    zorder=5,
    label=label,
  )


def _square_roots(
  grid: Sequence[matplotlib.axes.Axes], ks: set[int | None]
) -> None:
  """An axis of K by its square root, with ticks at K that were run."""
  import numpy as np

  known = sorted(k for k in ks if k is not None)
  if len(known) > 10:
    known = [k for k in (0, 1, 2, 5, *range(10, 1000, 10)) if k <= known[-1]]
  for axes in grid:
    axes.set_xscale(
      'function',
      functions=(
        lambda k: np.sign(k) * np.sqrt(np.abs(k)),
        lambda x: np.sign(x) * np.square(x),
      ),
    )
    axes.set_xlim(-known[-1] / 500, 1.1 * known[-1])
    axes.set_xticks(known)
    axes.set_xticklabels([str(k) for k in known])


def _plain_log(grid: Sequence[matplotlib.axes.Axes]) -> None:
  """Numbers such as 0.5, 2 and 10 beside a logarithmic axis."""
  from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

  for axes in grid:
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f'{y:g}'))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _left_out(cells: Sequence[Cell], shown: Sequence[Cell]) -> list[str]:
  """Names those of which there is no acceleration; where seeds, how many."""
  places = []
  for row in distinct(cells, 'row'):
    found = []
    for network in distinct(cells, 'network'):
      for ratio in fractions(cells):
        place = {'row': row, 'network': network, 'fraction': ratio}
        run, left = len(take(cells, **place)), len(take(shown, **place))
        seeds = f', {run - left} of {run} seeds' if run > 1 else ''
        if left < run:
          found.append(f'{network} at {percent(ratio)}{seeds}')
    if found:
      places.append(f'{row} ({names(found)})')
  if not places:
    return []
  return [
    'Left out, because they or the retrained model did not converge within '
    f'their epochs: {names(places)}.'
  ]


def _forgot(cells: Sequence[Cell]) -> str:
  """What each has forgotten when it has converged, which it need not have."""
  rates = [
    f'{row} {100 * found.mean:.1f} %'
    for row in distinct(cells, 'row')
    if (found := measure(take(cells, row=row), 'forgetting_rate'))
  ]
  return (
    'Convergence looks at accuracy on retain alone, so that a model that '
    'forgets nothing is fast. The forgetting rates (FR) of the models shown, '
    f'means over all that are shown of a row: {names(rates)}.'
  )
