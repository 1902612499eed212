"""A table as Markdown, CSV and LaTeX."""

import csv as csv_module
import io
from typing import Any, NamedTuple

__all__ = ['Grid', 'csv', 'escape', 'latex', 'markdown']

# What means something to LaTeX, and what its standard fonts write in maths.
_LATEX = {
  '\\': r'\textbackslash{}',
  '{': r'\{',
  '}': r'\}',
  '_': r'\_',
  '%': r'\%',
  '&': r'\&',
  '#': r'\#',
  '$': r'\$',
  '~': r'\textasciitilde{}',
  '^': r'\textasciicircum{}',
  '<': r'\textless{}',
  '>': r'\textgreater{}',
  '|': r'\textbar{}',
  '±': r'$\pm$',
  '×': r'$\times$',
  '−': r'$-$',
  '–': '--',
  '—': '---',
  '…': r'\ldots{}',
  '′': r'$^{\prime}$',
  '″': r'$^{\prime\prime}$',
  'ε': r'$\varepsilon$',
  'λ': r'$\lambda$',
  'η': r'$\eta$',
  '≤': r'$\leq$',
  '≥': r'$\geq$',
  '∞': r'$\infty$',
  '“': '``',
  '”': "''",
  '‘': '`',
  '’': "'",
}
_PAGE = 44  # lines, of small print with rules between


class Grid(NamedTuple):
  """A table, written for a reader, and as plain numbers.

  Attributes:
    name: of its files and of its LaTeX label, such as `table2`.
    number: what the paper calls it, such as `Table II`.
    title: what it shows.
    headers: of the columns that are read.
    blocks: groups of lines of cells, a rule between them.
    words: how many of the first columns hold words; the rest are numbers.
    plain: lines of plain values with their headings first; None is not
      measured.
    notes: sentences under the table.
  """

  name: str
  number: str
  title: str
  headers: list[str]
  blocks: list[list[list[str]]]
  words: int
  plain: list[list[Any]]
  notes: list[str]


def markdown(grid: Grid) -> str:
  r"""The title, the table and its notes.

  Example:
    >>> lines = [['a|b', '3']]
    >>> grid = Grid('t', 'Table I', 'Ours.', ['row', 'n'], [lines], 1, [], [])
    >>> print(markdown(grid))
    **Table I.** Ours.
    <BLANKLINE>
    | row | n |
    | --- | ---: |
    | a\|b | 3 |
  """
  rule = ['---'] * grid.words
  rule += ['---:'] * (len(grid.headers) - grid.words)
  lines = [line for block in grid.blocks for line in block]
  body = [[escape(cell) for cell in line] for line in [grid.headers, *lines]]
  body.insert(1, rule)
  table = '\n'.join(f'| {" | ".join(line)} |' for line in body)
  title = f'**{escape(grid.number)}.** {escape(grid.title)}'
  notes = '\n'.join(f'- {escape(note)}' for note in grid.notes)
  return '\n\n'.join(part for part in (title, table, notes) if part)


def csv(grid: Grid) -> str:
  """The plain values; empty is not measured."""
  stream = io.StringIO()
  csv_module.writer(stream, lineterminator='\n').writerows(grid.plain)
  return stream.getvalue()


def latex(grid: Grid) -> str:
  r"""A fragment for \input, with booktabs and graphicx.

  One that is longer than a page becomes several, cut between its blocks; one
  that is wider is made as small as the page is wide.
  """
  pages: list[list[list[list[str]]]] = [[]]
  for block in grid.blocks:
    if pages[-1] and sum(map(len, pages[-1])) + len(block) > _PAGE:
      pages.append([])
    pages[-1].append(block)
  floats = [
    _float(grid, page, number) for number, page in enumerate(pages, start=1)
  ]
  notes = ''.join(f'\\par {_latex(note)}\n' for note in grid.notes)
  if notes:
    floats[-1] += f'\n\\raggedright\n{notes}'
  return '% Needs \\usepackage{booktabs,graphicx}.\n' + ''.join(
    f'\\begin{{table*}}[tp]\n{text}\\end{{table*}}\n' for text in floats
  )


def _float(grid: Grid, blocks: list[list[list[str]]], page: int) -> str:
  """Caption and table; the first page has the label of the whole."""
  columns = 'l' * grid.words + 'r' * (len(grid.headers) - grid.words)
  caption, label = _latex(grid.title), f'tab:{grid.name}'
  if page > 1:
    caption, label = f'{caption} Page {page}.', f'{label}-{page}'
  bodies = [''.join(f'{_line(line)}\n' for line in block) for block in blocks]
  return (
    '\\centering\\footnotesize\\setlength{\\tabcolsep}{2pt}\n'
    f'\\caption{{{caption}}}\n'
    f'\\label{{{label}}}\n'
    '\\sbox0{%\n'
    f'\\begin{{tabular}}{{{columns}}}\n'
    '\\toprule\n'
    f'{_line(grid.headers)}\n'
    '\\midrule\n' + '\\midrule\n'.join(bodies) + '\\bottomrule\n'
    '\\end{tabular}}%\n'
    # Of numbers with deviations there may be more than a page has room for.
    '\\ifdim\\wd0>\\textwidth\\resizebox{\\textwidth}{!}{\\usebox0}'
    '\\else\\usebox0\\fi\n'
  )


def escape(text: str) -> str:
  """Text that Markdown shows as it is, on one line."""
  text = ' '.join(text.split())
  return ''.join(f'\\{c}' if c in '\\`*_[]<>|#~$&!' else c for c in text)


def _line(cells: list[str]) -> str:
  line = ' & '.join(map(_latex, cells)) + r' \\'
  # With narrow spaces, because a table with deviations is as wide as a page.
  return line.replace(r' $\pm$ ', r'\,$\pm$\,')


def _latex(text: str) -> str:
  """Text that LaTeX shows as it is; a sign that its fonts lack becomes ?."""
  text = ' '.join(text.split())
  # The two blocks of Latin letters are set up; of the rest, what is named.
  return ''.join(
    _LATEX.get(c, c if c < '\u0180' and c.isprintable() else '?') for c in text
  )
