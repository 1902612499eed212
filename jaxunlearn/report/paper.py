"""The page of a matrix of runs, with the paper's tables and figures."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxunlearn import nested
from jaxunlearn.errors import InputError
from jaxunlearn.files import replace
from jaxunlearn.report import (
  curve_figures,
  degree_figures,
  grids,
  matrix,
  paper_tables,
  paper_words,
  sweep_figures,
)
from jaxunlearn.report.cells import names
from jaxunlearn.report.grids import Grid, escape
from jaxunlearn.report.matrix import Matrix

__all__ = [
  'FIGURES',
  'TABLES',
  'check_cells',
  'check_kept',
  'check_paper',
  'write_matrix',
]

TABLES: Mapping[str, Callable[[Matrix], Grid]] = {
  'table1': paper_tables.table1,
  'table2': paper_tables.table2,
  'degrees': paper_tables.degrees,
}
"""What a config's `paper` may name, and what draws it."""

FIGURES: Mapping[str, Callable[[Matrix, Path], list[str] | None]] = {
  'figure1': curve_figures.figure1,
  'figure4': degree_figures.figure4,
  'figure5': sweep_figures.figure5,
  'figure6': curve_figures.figure6,
  'figure7': sweep_figures.figure7,
  'figure8': curve_figures.figure8,
  'figure9': degree_figures.figure9,
}
"""What a config's `paper` may name, and what draws it."""


def write_matrix(workdir: str | Path) -> list[Path]:
  """Writes what a workdir's configs ask for, from the runs that are finished.

  tables/*.md, *.csv and *.tex, figures/*.png, and report.md with all of them;
  each file whole or not at all. A matrix that is not finished is drawn as far
  as it is. Each config is a matrix of its own, with its own section of the
  page, in the order of the tables and figures. What several ask for the last
  one draws: that of config.json, and of the others the last by name.

  Args:
    workdir: of the matrix: config.json, configs/ where there were several, and
      a workdir a run in cells/.

  Returns:
    The files.

  Raises:
    InputError: no matrix is there, a file is damaged, or `paper` names what
      there is not.
  """
  matrices = _each_once(matrix.read_all(workdir))
  files: list[Path] = []
  sections: list[str] = []
  for found in matrices:
    drawn, text = _draw(found)
    files += drawn
    sections.append(text)
  folder = matrices[0].folder
  title = f'# Report of a matrix of runs: {escape(folder.resolve().name)}'
  if len(sections) > 1:
    sections = [
      f'## {names(found.paper or ["nothing"])}\n\n{_deeper(text)}'
      for found, text in zip(matrices, sections, strict=True)
    ]
  replace(folder / 'report.md', '\n\n'.join([title, *sections]) + '\n')
  return [*files, folder / 'report.md']


def _each_once(matrices: Sequence[Matrix]) -> list[Matrix]:
  """Those that have something to draw that no later one draws, in order."""
  order = [*TABLES, *FIGURES]
  found: list[Matrix] = []
  later: set[str] = set()
  for one in reversed(matrices):
    check_paper(one.paper)
    left = tuple(name for name in one.paper if name not in later)
    later.update(left)
    if left or not found:
      found.append(one._replace(paper=left))
  return sorted(found, key=lambda one: [order.index(x) for x in one.paper])


def _draw(found: Matrix) -> tuple[list[Path], str]:
  """The files, and the section of the page that holds them."""
  files: list[Path] = []
  tables: list[Grid] = []
  figures: list[str] = []
  for name in found.paper:
    if name in TABLES:
      grid = TABLES[name](found)
      files += _write_table(grid, found.folder / 'tables')
      tables.append(grid)
    else:
      path = found.folder / 'figures' / f'{name}.png'
      path.parent.mkdir(exist_ok=True)
      notes = FIGURES[name](found, path)
      if notes is not None:
        files.append(path)
      figures.append(_figure(name, notes))
  return files, _section(found, tables, figures)


def check_kept(workdir: str | Path, paper: Iterable[str]) -> None:
  """Checks that what other configs of a workdir ask for can still be drawn.

  Args:
    workdir: of the matrix.
    paper: what the new config asks for, whose place in configs/ it takes.

  Raises:
    InputError: a file is damaged, or names what there is not.
  """
  for found in matrix.kept(workdir, paper):
    check_paper(found.paper)


def check_paper(paper: Iterable[str]) -> None:
  """Checks that there are tables or figures of these names.

  Raises:
    InputError: names the first that there is not.
  """
  for name in paper:
    if not isinstance(name, str) or name not in {*TABLES, *FIGURES}:
      raise InputError(
        f'config.paper names {name!r}; there are '
        f'{", ".join([*TABLES, *FIGURES])}.'
      )


def check_cells(configs: Mapping[str, Mapping[str, Any]]) -> None:
  """Checks that no two runs of a matrix are the same.

  Raises:
    InputError: names the first two.
  """
  matrix.labels({name: nested.flat(own) for name, own in configs.items()})


def _write_table(grid: Grid, folder: Path) -> list[Path]:
  folder.mkdir(exist_ok=True)
  texts = {
    'md': grids.markdown(grid),
    'csv': grids.csv(grid),
    'tex': grids.latex(grid),
  }
  for suffix, text in texts.items():
    replace(folder / f'{grid.name}.{suffix}', text)
  return [folder / f'{grid.name}.{suffix}' for suffix in texts]


def _table(grid: Grid) -> str:
  links = ', '.join(
    f'[{kind}](<tables/{grid.name}.{suffix}>)'
    for kind, suffix in (('CSV', 'csv'), ('LaTeX', 'tex'))
  )
  return f'{grids.markdown(grid).rstrip()}\n\nThe same as {links}.'


def _figure(name: str, notes: list[str] | None) -> str:
  title = f'Figure {name.removeprefix("figure")}'
  if notes is None:
    return f'{title} has nothing to show yet.'
  image = f'![{title}](<figures/{name}.png>)'
  return '\n\n'.join([f'### {title}', image, *map(escape, notes)])


def _section(found: Matrix, tables: list[Grid], figures: list[str]) -> str:
  states = list(found.states.values())
  done, waiting = states.count('done'), states.count('not run')
  reports = [cell.report for cell in found.cells if cell.report]
  facts = [
    f'runs: {len(states)}, of which {done} finished, {waiting} not run and '
    f'{len(states) - done - waiting} failed',
    *_distinct('data', [r['request']['dataset'] for r in reports]),
    *(
      line
      for name in ('device', 'jax', 'flax', 'optax')
      for line in _distinct(name, [r['environment'][name] for r in reports])
    ),
  ]
  remarks = [
    *paper_words.failed_lately(found),
    *([] if tables else paper_words.unfinished(found.cells)),
    *paper_words.mislabelled(found.cells),
    *(_degrees(found) if 'degrees' not in found.paper else []),
    *paper_words.devices(found.cells),
  ]
  sections = [
    '\n'.join(f'- {escape(fact)}' for fact in facts),
    *(['## Tables', *map(_table, tables)] if tables else []),
    *(['## Figures', *figures] if figures else []),
    *(
      ['## Remarks', '\n'.join(f'- {escape(x)}' for x in remarks)]
      * bool(remarks)
    ),
  ]
  return '\n\n'.join(sections)


def _deeper(text: str) -> str:
  """The text with each of its headings one level lower."""
  return re.sub(r'^(?=#+ )', '#', text, flags=re.MULTILINE)


def _degrees(found: Matrix) -> list[str]:
  """What to know of degrees where no table of them has it below itself."""
  shown = {'figure4', 'figure9'} & set(found.paper)
  missing = paper_words.unreferenced(found.cells) if shown else []
  return missing + paper_words.degrees(found.cells)


def _distinct(name: str, items: list[str]) -> list[str]:
  return [f'{name}: {", ".join(sorted(set(items)))}'] if items else []
