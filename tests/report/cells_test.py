import math

import pytest

from jaxunlearn.report import cells, matrix


@pytest.fixture
def found(make_matrix):
  return matrix.read(make_matrix('MIXED', seeds=(0, 1, 2))).cells


def test_deviation_is_the_samples():
  found = cells.statistic([1.0, 2.0, 4.0])
  assert found.n == 3 and math.isclose(found.mean, 7 / 3)
  assert math.isclose(found.std, math.sqrt(7 / 3))


def test_of_one_number_there_is_no_deviation_and_of_none_nothing():
  assert cells.statistic([None, 2]) == (2.0, None, 1)
  assert cells.statistic([None]) is None


def test_a_measurement_is_taken_over_what_is_done(found):
  ours = cells.take(found, row='top_k')
  levels = [c.values['accuracy']['forget'] for c in ours]
  assert cells.measure(ours, 'accuracy.forget') == cells.statistic(levels)
  ours[0] = ours[0]._replace(failed='it diverged')
  assert cells.measure(ours, 'accuracy.forget') == cells.statistic(levels[1:])
  assert cells.measure(ours, lambda c: int(c.seed)) == (1.5, 0.5**0.5, 2)


def test_what_is_absent_or_null_on_the_way_is_none(found):
  cell = cells.take(found, row='retrained')[0]
  assert cells.value(cell, 'selected') is None
  assert cells.value(cell, 'selected.scalars') is None
  assert cells.value(cell, 'probes.unheard_of.degree') is None
  assert cells.value(cell._replace(values=None), 'epochs') is None


def test_names_are_enumerated():
  assert cells.names(['a']) == 'a'
  assert cells.names(['a', 'b', 'c']) == 'a, b and c'
