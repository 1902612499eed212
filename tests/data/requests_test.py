import numpy as np
import pytest

from jaxunlearn.data import requests
from jaxunlearn.errors import InputError

LABELS = np.arange(40, dtype=np.int32) % 4
SUBSET = np.arange(0, 40, 2)  # labels 0 and 2 only
SETTINGS = {
  'kind': 'random', 'fraction': 0.2, 'classes': (), 'path': '', 'seed': 0,
}  # fmt: skip


def resolve(subset=SUBSET, **settings):
  return requests.resolve({**SETTINGS, **settings}, LABELS, subset, 4)


def refused(match, **settings):
  with pytest.raises(InputError, match=match) as caught:
    resolve(**settings)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('fraction', [0.05, 0.125, 0.5, 0.95])
def test_random_draws_the_rounded_share_from_the_subset(fraction):
  request = resolve(fraction=fraction)
  assert request.kind == 'random'
  assert len(request.positions) == round(fraction * 20)
  assert request.positions.dtype == np.int64
  assert (np.diff(request.positions) > 0).all()
  assert set(request.positions) <= set(SUBSET)
  assert request.labels_before is None and request.labels_after is None


def test_random_is_a_function_of_the_seed_alone():
  subset = np.arange(1000)
  first = requests.random(subset, 0.1, seed=3)
  np.testing.assert_array_equal(first, requests.random(subset, 0.1, seed=3))
  assert set(first) != set(requests.random(subset, 0.1, seed=4))
  assert set(first) < set(requests.random(subset, 0.2, seed=3))


def test_random_draws_each_position_alike():
  counts = np.zeros(20)
  for seed in range(2000):
    counts[requests.random(np.arange(20), 0.25, seed)] += 1
  # Standard deviation 19.4 of a mean of 500.
  assert np.abs(counts - 500).max() < 100


@pytest.mark.parametrize(
  'fraction', [0, 0.0, 1, 1.5, -0.1, float('nan'), float('inf'), '0.1', None]
)
def test_a_fraction_that_is_no_share_is_refused(fraction):
  refused('forget.fraction is', fraction=fraction)
  refused('forget.fraction is', fraction=fraction, kind='mislabelled')


def test_a_fraction_that_rounds_to_nothing_or_everything_is_refused():
  refused('of 20 training examples selects 0;', fraction=0.02)
  refused('of 20 training examples selects 20;', fraction=0.98)


@pytest.mark.parametrize('kind', ['random', 'mislabelled'])
def test_a_negative_seed_is_refused(kind):
  refused('forget.seed is -1', kind=kind, seed=-1)


def test_a_class_is_all_its_examples_in_the_subset():
  request = resolve(kind='class', classes=(2,))
  np.testing.assert_array_equal(request.positions, np.arange(2, 40, 4))
  assert request.kind == 'class' and request.positions.dtype == np.int64
  request = resolve(np.arange(40), kind='class', classes=(3, 1))
  np.testing.assert_array_equal(request.positions, np.arange(1, 40, 2))


@pytest.mark.parametrize(
  ('classes', 'match'),
  [
    ((), 'forget.classes is empty'),
    ((7,), 'holds 7, but no example'),
    ((-1,), 'holds -1, but no example'),
    ((1,), 'holds 1, but no example'),
    ((2**70,), f'holds {2**70}, but no example'),
    ((2, 2), 'holds 2 twice'),
    ((True,), 'holds True; a class is an integer'),
    ((2.0,), 'holds 2.0; a class is an integer'),
    ('2', "holds '2'; a class is an integer"),
    ((0, 2), 'all 20 training examples'),
  ],
)
def test_bad_classes_are_refused(classes, match):
  refused(match, kind='class', classes=classes)


def test_mislabelled_examples_get_another_class():
  request = resolve(np.arange(40), kind='mislabelled', fraction=0.9, seed=1)
  np.testing.assert_array_equal(
    request.positions, requests.random(np.arange(40), 0.9, seed=1)
  )
  np.testing.assert_array_equal(
    request.labels_before, LABELS[request.positions]
  )
  assert (request.labels_before != request.labels_after).all()
  assert set(request.labels_after) == {0, 1, 2, 3}
  assert request.labels_before.dtype == request.labels_after.dtype == np.int32


def test_each_other_class_is_equally_likely():
  labels = np.zeros(6000, np.int32)
  request = requests.mislabelled(labels, np.arange(6000), 4, 0.5, seed=0)
  counts = np.bincount(request.labels_after, minlength=4)
  # Standard deviation 26 of a mean of 1,000.
  assert counts[0] == 0 and np.abs(counts[1:] - 1000).max() < 130


def test_wrong_labels_do_not_depend_on_which_positions_were_drawn():
  # Two draws of one seed: their streams must differ.
  positions = requests.random(np.arange(3000), 0.5, seed=0)
  request = requests.mislabelled(
    np.zeros(3000, np.int32), np.arange(3000), 2**10, 0.5, seed=0
  )
  assert abs(np.corrcoef(positions, request.labels_after)[0, 1]) < 0.1


def test_indices_come_from_a_file_sorted(tmp_path):
  path = tmp_path / 'request.txt'
  path.write_text('8\n2\n30\n')
  request = resolve(kind='indices', path=str(path))
  assert request.kind == 'indices' and request.positions.dtype == np.int64
  np.testing.assert_array_equal(request.positions, [2, 8, 30])


@pytest.mark.parametrize(
  ('text', 'match'),
  [
    ('', 'requests nothing'),
    ('2\n5\n7\n', 'position 5, which is not trained on: data.num_train'),
    ('\n'.join(map(str, SUBSET)), 'requests all 20'),
  ],
)
def test_a_file_must_fit_the_subset(tmp_path, text, match):
  path = tmp_path / 'request.txt'
  path.write_text(text)
  refused(match, kind='indices', path=str(path))


def test_an_empty_path_is_refused():
  refused('forget.path is empty', kind='indices')


def test_an_unknown_kind_names_the_nearest():
  refused('the nearest is mislabelled', kind='mislabeled')
  refused("is 'zzz', but must be one of random, class, indices", kind='zzz')
