"""Panels of a figure in one style: canvas, lines with bands, title, legend."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxunlearn import files
from jaxunlearn.report.cells import Cell, Statistic, names
from jaxunlearn.report.paper_words import percent

if TYPE_CHECKING:
  import matplotlib.axes
  import matplotlib.figure

__all__ = [
  'GREY',
  'SMALL',
  'by_epoch',
  'canvas',
  'caption',
  'edge',
  'empty',
  'finish',
  'line',
  'save',
  'short',
  'style',
  'wrapped',
]

SMALL = 7  # points
GREY = '0.35'
_COLUMN, _PAGE = 3.5, 7.0  # inches, of a two-column page
# Okabe and Ito's colours but the yellow, which white paper swallows; the shapes
# tell lines apart without colour. Seven and eight: 56 pairs before one repeats.
_COLOURS = (
  '#0072B2',
  '#D55E00',
  '#009E73',
  '#CC79A7',
  '#E69F00',
  '#56B4E9',
  '#000000',
)
_MARKERS = 'os^DvPX*'


def style(index: int) -> dict[str, Any]:
  """Colour and marker of the line with that number."""
  return {
    'color': _COLOURS[index % len(_COLOURS)],
    'marker': _MARKERS[index % len(_MARKERS)],
  }


def wrapped(count: int) -> tuple[int, int]:
  """Lines and columns for so many panels: one alone, else two or three."""
  columns = 1 if count == 1 else 3 if count == 3 or count > 4 else 2
  return math.ceil(count / columns), columns


def canvas(
  lines: int, columns: int, height: float, **shared: Any
) -> tuple[matplotlib.figure.Figure, list[matplotlib.axes.Axes]]:
  """A figure with its own canvas: nothing global, no window, no display.

  Args:
    lines: of panels.
    columns: of panels; one makes the figure as wide as a column of print, more
      as wide as a page.
    height: of a panel, in inches.
    shared: `sharex` and `sharey` of the panels.
  """
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  width = _COLUMN if columns == 1 else _PAGE
  figure = Figure((width, 0.8 + height * lines), dpi=200, layout='constrained')
  FigureCanvasAgg(figure)
  grid = figure.subplots(lines, columns, squeeze=False, **shared)
  for axes in grid.flat:
    axes.tick_params(labelsize=SMALL)
    axes.spines[['top', 'right']].set_visible(False)
  return figure, list(grid.flat)


def by_epoch(cells: Sequence[Cell], split: str) -> dict[int, list[float]]:
  """{epoch: accuracies in per cent, one a seed}; the last line of an epoch.

  Epochs that every seed has reached, so that all points have the same n.
  """
  courses = [
    {
      x['epoch']: 100 * x[f'accuracy_{split}']
      for x in cell.history
      if x.get(f'accuracy_{split}') is not None
    }
    for cell in cells
    if cell.done
  ]
  courses = [course for course in courses if course]
  common = set.intersection(*map(set, courses)) if courses else set()
  return {epoch: [c[epoch] for c in courses] for epoch in sorted(common)}


def line(
  axes: matplotlib.axes.Axes,
  points: Mapping[float, Statistic],
  label: str,
  **look: Any,
) -> None:
  """Draws means against x, and ± a deviation: a band, or bars.

  Bars where some points have none, since a band would narrow towards these as
  if theirs were 0.
  """
  xs = list(points)
  means = [found.mean for found in points.values()]
  look = {'markersize': 3.5, 'linewidth': 1.1} | look
  look.setdefault('markevery', max(1, math.ceil(len(xs) / 10)))
  axes.plot(xs, means, label=label, **look)
  known = [
    (x, found.mean, found.std)
    for x, found in points.items()
    if found.std is not None
  ]
  if not known:
    return
  at, middle, std = map(np.array, zip(*known, strict=True))
  if len(known) < len(xs) or len(xs) == 1:
    bars = {'elinewidth': 0.9, 'fmt': 'none', 'zorder': 0}
    axes.errorbar(at, middle, std, ecolor=look['color'], **bars)
  else:
    shade = {'alpha': 0.18, 'linewidth': 0}
    axes.fill_between(
      at, middle - std, middle + std, color=look['color'], **shade
    )


def caption(cells: Sequence[Cell]) -> str:
  """What the figure stands on: data, sizes, device, and n."""
  done = [cell for cell in cells if cell.done]
  data = {cell.report['request']['dataset'] for cell in done}
  devices = {cell.report['environment']['device'] for cell in done}
  sizes = {c.network: f'{c.report["request"]["num_train"]:,}' for c in done}
  seeds = _seeds(done)
  n = _each(seeds)
  return ', '.join(
    (
      *(short(name, 26) for name in sorted(data)),
      f'{_each(sizes)} training examples',
      *(short(device, 26) for device in sorted(devices)),
      f'n = {n} seed{"" if n.split()[-1] == "1" else "s"}',
      # Drawn where there are at least two.
      *(['± one standard deviation'] if set(seeds.values()) != {'1'} else []),
    )
  )


def finish(
  figure: matplotlib.figure.Figure,
  title: str,
  path: Path,
  legend: str = '',
) -> None:
  """Adds title and legend, and writes the PNG whole or not at all.

  Args:
    figure: with its panels, whose labels make one legend.
    title: each of its lines is wrapped to the width.
    path: of the PNG.
    legend: its title.
  """
  characters = 19 * figure.get_figwidth()  # of small print
  handles = {}
  for axes in figure.axes:
    for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
      handles.setdefault(label, handle)
  lines = [
    textwrap.fill(part, int(0.92 * characters)) for part in title.split('\n')
  ]
  figure.suptitle('\n'.join(lines), fontsize=SMALL + 0.5)
  if handles:
    widest = 6 + max(map(len, handles))
    room = max(1, int(characters / widest))
    figure.legend(
      handles.values(),
      handles,
      loc='outside lower center',
      ncols=math.ceil(len(handles) / math.ceil(len(handles) / room)),
      title=legend or None,
      title_fontsize=SMALL,
      fontsize=SMALL,
      frameon=False,
      handletextpad=0.4,
      columnspacing=1.2,
      handlelength=2.4,
    )
  save(figure, path)


def edge(
  grid: Sequence[matplotlib.axes.Axes], count: int, columns: int, label: str
) -> None:
  """Hides panels without content, and labels the lowest of each column."""
  for axes in grid[count:]:
    axes.set_axis_off()
  for axes in grid[max(0, count - columns) : count]:
    axes.tick_params(labelbottom=True)
    axes.set_xlabel(label, fontsize=SMALL + 1)


def empty(axes: matplotlib.axes.Axes, why: str) -> None:
  """Says in a panel without lines why it has none."""
  axes.text(
    0.5,
    0.5,
    why,
    transform=axes.transAxes,
    ha='center',
    fontsize=SMALL,
    color=GREY,
  )


def save(figure: matplotlib.figure.Figure, path: Path) -> None:
  """Writes a PNG whole or not at all; equal figures have equal bytes."""
  content = io.BytesIO()
  # The version of matplotlib would make equal figures differ in their bytes.
  figure.savefig(content, format='png', metadata={'Software': None})
  files.replace(path, content.getvalue())


def short(name: str, length: int = 22) -> str:
  """A name as plain text that fits; `$` would start a formula."""
  if len(name) > length:
    name = f'{name[: length - 9]}…{name[-8:]}'
  return name.replace('$', r'\$')


def _seeds(cells: Sequence[Cell]) -> dict[str, str]:
  """How many seeds each network has at each ratio, by row: `3`, `2 to 3`."""
  found: dict[str, dict[str, set[str]]] = {}
  for cell in cells:
    rows = found.setdefault(f'{cell.network} at {percent(cell.fraction)}', {})
    rows.setdefault(cell.row, set()).add(cell.seed)
  counts = {
    place: set(map(len, rows.values())) for place, rows in found.items()
  }
  return {
    place: ' to '.join(map(str, sorted({min(n), max(n)})))
    for place, n in counts.items()
  }


def _each(numbers: Mapping[str, str]) -> str:
  """`3`; or `3 (vgg19 at 10 %), else 1`, the most frequent last."""
  groups = {number: [] for number in numbers.values()}
  for name, number in numbers.items():
    groups[number].append(name)
  *few, (rest, _) = sorted(groups.items(), key=lambda group: len(group[1]))
  parts = [f'{n} ({names(places)})' for n, places in few]
  return ', '.join([*parts, f'{"else " if parts else ""}{rest}'])
