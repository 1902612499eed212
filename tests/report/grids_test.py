import ast
import csv
import io
from pathlib import Path

import pytest

from jaxunlearn.report import cells, grids, matrix, paper_tables, paper_words


def grid(**changes):
  return grids.Grid(
    name='table9',
    number='Table IX',
    title='Rates in 100 % & more.',
    headers=['row', 'acc', 'n'],
    blocks=[[['top_k', '80.00 ± 0.10', '3']], [['a|b', '–', '0']]],
    words=1,
    plain=[['row', 'mean', 'n'], ['top_k', 0.8, 3], ['a,b', None, 0]],
    notes=['top_k failed: {x} ~ #1, $2 ^ \\ 3.'],
  )._replace(**changes)


def test_markdown_has_a_line_a_row_and_its_notes_below():
  text = grids.markdown(grid())
  lines = text.splitlines()
  assert lines[0] == '**Table IX.** Rates in 100 % \\& more.'
  assert lines[2:6] == [
    '| row | acc | n |',
    '| --- | ---: | ---: |',
    '| top\\_k | 80.00 ± 0.10 | 3 |',
    '| a\\|b | – | 0 |',
  ]
  assert lines[-1].startswith('- top\\_k failed')
  assert not grids.markdown(grid(notes=[])).rstrip().endswith('3.')


def test_csv_is_read_back_with_plain_numbers():
  rows = list(csv.reader(io.StringIO(grids.csv(grid()))))
  assert rows == [
    ['row', 'mean', 'n'],
    ['top_k', '0.8', '3'],
    ['a,b', '', '0'],
  ]


def test_latex_is_a_balanced_fragment_with_a_rule_between_blocks():
  text = grids.latex(grid())
  assert text.count('\\begin{') == text.count('\\end{') == 2
  assert '\\begin{tabular}{lrr}' in text and '\\label{tab:table9}' in text
  assert text.count('\\midrule') == 2
  assert '\\toprule' in text and '\\bottomrule' in text
  assert 'top\\_k & 80.00\\,$\\pm$\\,0.10 & 3 \\\\\n' in text
  assert 'a\\textbar{}b & -- & 0 \\\\\n' in text
  assert text.isascii()


def test_latex_shows_its_own_signs_as_they_are():
  text = grids.latex(grid())
  assert '100 \\% \\& more' in text
  assert (
    'failed: \\{x\\} \\textasciitilde{} \\#1, \\$2 \\textasciicircum{} '
    '\\textbackslash{} 3.'
  ) in text


def test_a_sign_that_latex_lacks_does_not_break_it():
  assert 'a?é' in grids.latex(grid(title='a\U0001f600é'))


@pytest.mark.parametrize('module', [cells, matrix, paper_tables, paper_words])
def test_latex_loses_no_sign_of_what_our_tables_are_worded_in(module):
  for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
      written = grids._latex(node.value)
      assert written.count('?') == node.value.count('?'), node.value
      assert written.isascii(), node.value


def test_latex_makes_a_table_as_wide_as_the_page_at_most():
  text = grids.latex(grid())
  assert text.startswith('% Needs \\usepackage{booktabs,graphicx}.\n')
  _, _, after = text.partition('\\end{tabular}}%\n')
  assert after.startswith(
    '\\ifdim\\wd0>\\textwidth\\resizebox{\\textwidth}{!}{\\usebox0}'
  )


def test_latex_cuts_what_is_longer_than_a_page_between_blocks():
  block = [['a', '1', '1']] * 20
  text = grids.latex(grid(blocks=[block] * 5))
  tables = text.split('\\begin{table*}')[1:]
  assert [table.count('a & 1 & 1') for table in tables] == [40, 40, 20]
  assert [table.count('\\label') for table in tables] == [1, 1, 1]
  assert '\\label{tab:table9-3}' in tables[2] and 'failed' in tables[2]
  assert 'failed' not in tables[0]
  # A block is never cut, however long.
  assert grids.latex(grid(blocks=[block * 5])).count('{table*}') == 2
