"""Figures 1, 6 and 8 of the paper: accuracy by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jaxunlearn.report import panels
from jaxunlearn.report.cells import (
  distinct,
  fractions,
  measure,
  statistic,
  take,
)
from jaxunlearn.report.matrix import Matrix
from jaxunlearn.report.panels import SMALL
from jaxunlearn.report.paper_words import percent

if TYPE_CHECKING:
  import matplotlib.axes

__all__ = ['figure1', 'figure6', 'figure8']

_BOTH = ('retain', 'forget')


def figure1(matrix: Matrix, path: Path) -> list[str] | None:
  """Fig. 1: Random-k's accuracy by epoch, and the original's on test data.

  Args:
    matrix: the runs.
    path: of the PNG, written whole or not at all.

  Returns:
    Sentences to stand under the figure; None where there is nothing to draw,
    and nothing is written.
  """
  return _courses(matrix, path, ('random_k',), _BOTH, original=True)


def figure6(matrix: Matrix, path: Path) -> list[str] | None:
  """Fig. 6: accuracy by epoch of Top-K and Random-k; as `figure1`."""
  return _courses(matrix, path, ('top_k', 'random_k'), _BOTH)


def figure8(matrix: Matrix, path: Path) -> list[str] | None:
  """Fig. 8: the mixed strategy's accuracy on retain; as `figure1`."""
  recipes = ('top_k', 'random_k', 'random_top_k')
  return _courses(matrix, path, recipes, ('retain',))


def _courses(
  matrix: Matrix,
  path: Path,
  recipes: Sequence[str],
  splits: Sequence[str],
  original: bool = False,
) -> list[str] | None:
  """Accuracy by epoch, a panel a network and ratio, a line a row and split."""
  cells = [
    c
    for c in matrix.cells
    if c.recipe in recipes and any(panels.by_epoch([c], s) for s in splits)
  ]
  if not cells:
    return None
  # Those too that are not run yet, so that each keeps its place.
  places = [
    (network, ratio)
    for network in distinct(matrix.cells, 'network')
    for ratio in fractions(take(matrix.cells, network=network))
  ]
  lines, columns = (len(set(side)) for side in zip(*places, strict=True))
  if 1 in (lines, columns) or len(places) < lines * columns:
    lines, columns = panels.wrapped(len(places))
  height = 1.3 if columns > 3 else 1.8
  figure, grid = panels.canvas(lines, columns, height, sharex=True, sharey=True)
  rows = distinct(cells, 'row')
  for (network, fraction), axes in zip(places, grid, strict=False):
    if not take(cells, network=network, fraction=fraction):
      panels.empty(axes, 'not run')
    for i, row in enumerate(rows):
      ours = take(cells, network=network, fraction=fraction, row=row)
      for j, split in enumerate(splits):
        found = panels.by_epoch(ours, split)
        alone = len(rows) == 1 and len(splits) > 1
        hollow = {'linestyle': '--', 'markerfacecolor': 'white'} if j else {}
        name = panels.short(row)
        label = f'{name}, {split}' if len(splits) > 1 else name
        panels.line(
          axes,
          {epoch: statistic(x) for epoch, x in found.items()},
          label,
          **panels.style(j if alone else i),
          **hollow,
        )
    if original:
      _test_accuracy(matrix, network, fraction, axes)
    axes.set_title(
      f'{panels.short(network, 40)}, {percent(fraction)} forgotten'
      if columns < 4
      else f'{panels.short(network)}, {percent(fraction)}',
      fontsize=SMALL,
      pad=3,
    )
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=5)
  panels.edge(grid, len(places), columns, 'epoch')
  what = 'accuracy' if len(splits) > 1 else f'accuracy on {splits[0]}'
  figure.supylabel(f'{what} (%)', fontsize=SMALL + 1)
  panels.finish(figure, panels.caption(cells), path)
  return []


def _test_accuracy(
  matrix: Matrix, network: str, fraction: float, axes: matplotlib.axes.Axes
) -> None:
  place = take(matrix.cells, row='original', network=network, fraction=fraction)
  found = measure(place, 'accuracy.test')
  if found:
    axes.axhline(
      100 * found.mean,
      color=panels.GREY,
      linestyle=':',
      linewidth=1.2,
      label='original, test',
    )
