"""Reports as a foreign hand may have left them."""

import copy
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jaxunlearn.report import grids, schema, tables

pytestmark = pytest.mark.fuzz

values = st.recursive(
  st.none()
  | st.booleans()
  | st.integers()
  | st.floats()
  | st.text(max_size=8)
  | st.sampled_from(['original', 'retrained', 'spd_gan', 'failed']),
  lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
  ),
  max_leaves=5,
)


def places(tree, path=()):
  """The path of every entry."""
  entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
  for name, entry in entries:
    yield (*path, name)
    if isinstance(entry, dict | list):
      yield from places(entry, (*path, name))


def changed(tree, path, value):
  tree = copy.deepcopy(tree)
  node = tree
  for name in path[:-1]:
    node = node[name]
  node[path[-1]] = value
  return tree


@given(data=st.data())
def test_a_report_is_refused_or_written(report_once, data):
  path = data.draw(st.sampled_from(list(places(report_once))))
  damaged = changed(report_once, path, data.draw(values))
  try:
    schema.validate(damaged)
  except ValueError as error:
    assert str(error)
  else:
    assert tables.markdown(damaged, []).startswith('# Unlearning report')


@given(st.text())
@example('\N{MINUS SIGN}')
def test_whatever_a_cell_holds_it_breaks_out_of_no_table(text):
  grid = grids.Grid(
    't', 'Table', text, ['row', 'n'], [[[text, '3']]], 1, [], [text]
  )
  lines = grids.markdown(grid).splitlines()
  rows = [x for x in lines if x.startswith('| ')]
  assert len(rows) == 3
  assert all(len(re.findall(r'(?<!\\)(?:\\\\)*\|', x)) == 3 for x in rows)
  assert not any(x.startswith(('#', '<', '>', '```')) for x in lines)
  page = grids.latex(grid)
  inside = page[page.index('\\midrule') : page.index('\\bottomrule')]
  assert inside.count('\n') == 2
  # Without the signs that are written out, none is left that means anything.
  for written in sorted(grids._LATEX.values(), key=len, reverse=True):
    ours = '\\' in written or '$' in written
    inside = inside.replace(written, '') if ours else inside
  assert not set('#$%_{}~^') & set(inside)
