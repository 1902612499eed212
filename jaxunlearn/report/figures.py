"""A report as figures, legible at the width of a column of print."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jaxunlearn.report.panels import GREY, SMALL, save, short

if TYPE_CHECKING:
  import matplotlib.axes
  import matplotlib.figure

__all__ = ['accuracy', 'curves', 'draw']

_WIDTH = 3.5  # inches, a column of a two-column page
# Okabe and Ito's colours, told apart with any colour vision; the shapes tell
# them apart without colour. Forget comes last and small, so that equal values
# show as a dot within hollow shapes.
_SPLITS = {
  'retain': {
    'color': '#0072B2',
    'marker': 's',
    'markersize': 7,
    'markerfacecolor': 'none',
  },
  'test': {
    'color': '#009E73',
    'marker': '^',
    'markersize': 7,
    'markerfacecolor': 'none',
  },
  'forget': {'color': '#D55E00', 'marker': 'o', 'markersize': 4},
}


def accuracy(report: Mapping, path: str | Path) -> None:
  """Draws accuracy on forget, retain and test, a line a model.

  Args:
    report: schema 1, validated.
    path: of the PNG, written whole or not at all.
  """
  models = report['models']
  figure, (axes,) = _canvas(1, 1, height=1.15 + 0.22 * len(models))
  for split, style in _SPLITS.items():
    points = [
      (100 * values['accuracy'][split], line)
      for line, values in enumerate(models.values())
      if values['accuracy'][split] is not None
    ]
    if points:
      axes.plot(*zip(*points, strict=True), linestyle='', label=split, **style)
  _reference(report, axes.axvline)
  axes.set_yticks(range(len(models)), [short(name) for name in models])
  axes.set_ylim(len(models) - 0.5, -0.5)
  axes.grid(axis='y', color='0.9', linewidth=0.8)
  axes.tick_params(axis='y', length=0)
  axes.set_xlabel('accuracy (%)', fontsize=SMALL + 1)
  _finish(figure, report, axes, path)


def curves(
  report: Mapping, history: Sequence[Mapping], path: str | Path
) -> None:
  """Draws accuracy on forget and retain by epoch, a panel a row.

  Args:
    report: schema 1, validated.
    history: the lines of metrics.jsonl; the last of an epoch counts.
    path: of the PNG, written whole or not at all.
  """
  names = [n for n in report['models'] if n not in ('original', 'retrained')]
  columns = min(2, max(1, len(names)))
  lines = max(1, math.ceil(len(names) / columns))
  figure, panels = _canvas(lines, columns, height=0.95 + 1.05 * lines)
  for name, axes in zip(names, panels, strict=False):
    for split in ('retain', 'forget'):
      by_epoch = {
        line['epoch']: 100 * line[f'accuracy_{split}']
        for line in history
        if line['model'] == name and line.get(f'accuracy_{split}') is not None
      }
      epochs = sorted(by_epoch)
      axes.plot(
        epochs,
        [by_epoch[epoch] for epoch in epochs],
        label=split,
        linewidth=1.1,
        markevery=max(1, len(epochs) // 10),
        **_SPLITS[split] | {'markersize': 3.5},
      )
    _reference(report, axes.axhline)
    axes.set_title(short(name), fontsize=SMALL, pad=3)
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=5)
  for axes in panels[len(names) :]:
    axes.set_axis_off()
  for axes in panels[max(0, len(names) - columns) : len(names)]:
    axes.tick_params(labelbottom=True)
    axes.set_xlabel('epoch', fontsize=SMALL + 1)
  figure.supylabel('accuracy (%)', fontsize=SMALL + 1)
  _finish(figure, report, panels[0], path)


def draw(
  report: Mapping, history: Sequence[Mapping], folder: str | Path
) -> list[str]:
  """Draws every figure that has something to show.

  Args:
    report: schema 1, validated.
    history: the lines of metrics.jsonl.
    folder: where the PNGs go; made when it is missing.

  Returns:
    The files' names, in the order in which to read them.
  """
  folder = Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  names = ['accuracy.png']
  accuracy(report, folder / names[0])
  rows = set(report['models']) - {'original', 'retrained'}
  if any(
    line['model'] in rows and line.get(f'accuracy_{split}') is not None
    for line in history
    for split in ('retain', 'forget')
  ):
    names.append('curves.png')
    curves(report, history, folder / names[1])
  return names


def _canvas(
  lines: int, columns: int, height: float
) -> tuple[matplotlib.figure.Figure, list[matplotlib.axes.Axes]]:
  """A figure with its own canvas: nothing global, no window, no display."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  figure = Figure((_WIDTH, height), dpi=200, layout='constrained')
  FigureCanvasAgg(figure)
  grid = figure.subplots(
    lines, columns, squeeze=False, sharex=True, sharey=True
  )
  for axes in grid.flat:
    axes.tick_params(labelsize=SMALL)
    axes.spines[['top', 'right']].set_visible(False)
  return figure, list(grid.flat)


def _reference(report: Mapping, line) -> None:
  """The retrained model's accuracy on forget: what to come close to."""
  retrained = report['models'].get('retrained')
  if retrained and retrained['accuracy']['forget'] is not None:
    line(
      100 * retrained['accuracy']['forget'],
      color=GREY,
      linestyle='--',
      linewidth=1,
      zorder=0,
      label='retrained, forget',
    )


def _finish(
  figure: matplotlib.figure.Figure,
  report: Mapping,
  axes: matplotlib.axes.Axes,
  path: str | Path,
) -> None:
  """Adds title and legend, and writes the PNG at once."""
  request = report['request']
  counts = {
    'forget': request['num_forget'],
    'retain': request['num_train'] - request['num_forget'],
    'test': request.get('num_test'),
  }
  sizes = ', '.join(f'{n:,} {split}' for split, n in counts.items() if n)
  figure.suptitle(
    f'{short(request["dataset"], 26)}, n = {sizes}', fontsize=SMALL + 0.5
  )
  handles, labels = axes.get_legend_handles_labels()
  figure.legend(
    handles,
    labels,
    loc='outside lower center',
    ncols=4,
    fontsize=SMALL,
    frameon=False,
    handletextpad=0.4,
    columnspacing=1.0,
    handlelength=1.4,
  )
  save(figure, Path(path))
