"""The documents say what the results beside them say."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / 'docs'


@pytest.fixture(scope='module')
def side_by_side():
  path = DOCS / 'side_by_side.py'
  spec = importlib.util.spec_from_file_location('side_by_side', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def test_the_tables_of_the_reproduction_are_those_of_the_results(side_by_side):
  text = (DOCS / 'reproduction.md').read_text()
  tables = list(side_by_side.tables(side_by_side.SMALL))
  assert tables
  for table in tables:
    assert table in text


def test_the_printed_table_ii_is_whole(side_by_side):
  printed = side_by_side._paper()
  assert len(printed) == 4 * 7
  top_k = printed['10', 'top_k']
  assert (top_k['accuracy_forget'], top_k['seconds']) == ('80.14', '192.86')
