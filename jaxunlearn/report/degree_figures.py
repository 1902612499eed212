"""Figures 4 and 9 of the paper: what SPD-GAN shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxunlearn import npz
from jaxunlearn.report import panels
from jaxunlearn.report.cells import (
  Cell,
  distinct,
  fractions,
  measure,
  take,
  value,
)
from jaxunlearn.report.matrix import Matrix
from jaxunlearn.report.panels import SMALL
from jaxunlearn.report.paper_words import (
  DEGREE,
  against,
  is_reference,
  percent,
)

__all__ = ['figure4', 'figure9']

_SHOWN = 6


def figure4(matrix: Matrix, path: Path) -> list[str] | None:
  """Fig. 4: images of the forget set before and after, and the noise.

  Of the first unlearned model that has some. The noise is added to a middle
  grey, enlarged so that its largest value is just white or black; the figure
  says how much.

  Args:
    matrix: the runs.
    path: of the PNG, written whole or not at all.

  Returns:
    Sentences to stand under the figure; None where there is nothing to draw,
    and nothing is written.
  """
  having = [
    c
    for c in matrix.cells
    if c.done and value(c, DEGREE) is not None and _images(c).is_file()
  ]
  having.sort(key=is_reference)
  if not having:
    return None
  cell = having[0]
  arrays = _read(_images(cell))
  image, perturbed, noise = (
    arrays[name][:_SHOWN] for name in ('image', 'perturbed', 'noise')
  )
  largest = float(np.abs(noise).max()) or 1.0
  blocks = {
    'before': image,
    'after': perturbed,
    f'noise × {0.5 / largest:.3g}': 0.5 + 0.5 * noise / largest,
  }
  figure, grid = panels.canvas(3, len(image), 1.1)
  for line, (name, images) in enumerate(blocks.items()):
    for column, pixels in enumerate(images):
      axes = grid[line * len(image) + column]
      axes.imshow(
        np.clip(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, 0, 1),
        cmap='gray',
        vmin=0,
        vmax=1,
        interpolation='nearest',
      )
      axes.set_xticks([])
      axes.set_yticks([])
      axes.spines[:].set_visible(False)
      if not line:
        label = arrays['label'][column]
        axes.set_title(f'label {label}', fontsize=SMALL, pad=3)
      if not column:
        axes.set_ylabel(name, fontsize=SMALL + 1)
  psnr, degree = (
    value(cell, f'probes.spd_gan.{x}') for x in ('psnr', 'degree')
  )
  facts = [
    f'{panels.short(cell.row)}, {panels.short(cell.network, 40)}',
    f'{percent(cell.fraction)} forgotten',
    f'seed {cell.seed}',
    f'degree {100 * degree:.2f} points',
    *([] if psnr is None else [f'mean PSNR on forget {psnr:.1f} dB']),
  ]
  title = f'{panels.caption([cell])}\n{", ".join(facts)}'
  panels.finish(figure, title, path)
  return [
    f'Images of {cell.row} in the run {cell.folder.name}; the noise, before '
    f'the sum is clipped, is shown {0.5 / largest:.3g} times as large as it '
    'is, around grey.'
  ]


def figure9(matrix: Matrix, path: Path) -> list[str] | None:
  """Fig. 9: the degree by strategy and ratio, with its references.

  As `figure4`; a panel a network, the references on grey.
  """
  cells = [c for c in matrix.cells if c.done and value(c, DEGREE) is not None]
  if not cells:
    return None
  fixed = ('original', 'retrained')
  cells.sort(key=lambda c: (is_reference(c), c.row not in fixed))
  networks, rows = distinct(cells, 'network'), distinct(cells, 'row')
  references = [row for row in rows if is_reference(take(cells, row=row)[0])]
  ratios = fractions(cells)
  lines, columns = panels.wrapped(len(networks))
  figure, grid = panels.canvas(
    lines, columns, 0.4 + 0.24 * len(rows), sharex=True, sharey=True
  )
  for network, axes in zip(networks, grid, strict=False):
    for i, fraction in enumerate(ratios):
      shift = 0.6 * ((i + 0.5) / len(ratios) - 0.5)
      for y, row in enumerate(rows):
        place = take(cells, network=network, fraction=fraction, row=row)
        found = measure(place, DEGREE)
        if not found:
          continue
        hollow = {'markerfacecolor': 'white'} if row in references else {}
        axes.errorbar(
          [100 * found.mean],
          [y + shift],
          xerr=None if found.std is None else [100 * found.std],
          linestyle='',
          markersize=4,
          elinewidth=0.9,
          label=percent(fraction),
          **panels.style(i),
          **hollow,
        )
    if references:
      first = len(rows) - len(references)
      axes.axhspan(first - 0.5, len(rows) - 0.5, color='0.93', zorder=-1)
    axes.axvline(0, color=panels.GREY, linewidth=0.8, linestyle=':', zorder=0)
    axes.set_yticks(range(len(rows)), [_label(row, cells) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis='y', length=0)
    axes.set_title(panels.short(network, 40), fontsize=SMALL, pad=3)
  panels.edge(grid, len(networks), columns, 'degree (points)')
  title = panels.caption(cells)
  if references:
    title += '\non grey: references, which no method has unlearned'
  panels.finish(figure, title, path, legend='forgotten')
  return []


def _label(row: str, cells: Sequence[Cell]) -> str:
  """The row's name, and against whom where it is not the original."""
  whom = against(take(cells, row=row)[0])
  name = panels.short(row)
  return name if whom == 'original' else f'{name}\n(against {whom})'


def _images(cell: Cell) -> Path:
  return cell.folder / 'probes' / 'spd_gan' / f'{cell.row}.npz'


def _read(path: Path) -> dict[str, np.ndarray]:
  """The arrays of a file of images, checked."""
  return npz.read(path, ('image', 'perturbed', 'noise', 'label'))
