import numpy as np
import pytest

from jaxunlearn.data import requests, splits
from jaxunlearn.data.sources import Dataset
from jaxunlearn.errors import InputError

NUMBERS = np.arange(60, dtype=np.uint8)
DATASET = Dataset(
  'numbers',
  x_train=NUMBERS[:40].reshape(40, 1, 1, 1),
  y_train=NUMBERS[:40].astype(np.int32) % 4,
  x_test=NUMBERS[40:].reshape(20, 1, 1, 1),
  y_test=NUMBERS[40:].astype(np.int32) % 4,
)


def test_none_takes_all():
  train, test = splits.subset(DATASET)
  np.testing.assert_array_equal(train, np.arange(40))
  np.testing.assert_array_equal(test, np.arange(20))
  assert train.dtype == test.dtype == np.int64


def test_a_subset_is_drawn_without_replacement_and_sorted():
  for positions, size in zip(
    splits.subset(DATASET, 12, 7, seed=5), (12, 7), strict=True
  ):
    assert len(positions) == size and positions.dtype == np.int64
    assert (np.diff(positions) > 0).all()
  train, test = splits.subset(DATASET, 40, 20)
  np.testing.assert_array_equal(train, np.arange(40))
  np.testing.assert_array_equal(test, np.arange(20))


def test_a_subset_is_a_function_of_the_seed_and_grows_with_its_size():
  first, _ = splits.subset(DATASET, 10, None, seed=1)
  np.testing.assert_array_equal(first, splits.subset(DATASET, 10, 3, 1)[0])
  assert set(first) != set(splits.subset(DATASET, 10, None, seed=2)[0])
  assert set(first) < set(splits.subset(DATASET, 20, None, seed=1)[0])


def test_the_draws_of_one_seed_are_independent():
  size = 4000
  dataset = DATASET._replace(
    y_train=np.zeros(size, np.int32), y_test=np.zeros(size, np.int32)
  )
  train, test = splits.subset(dataset, size // 2, size // 2, seed=0)
  request = requests.random(np.arange(size), 0.5, seed=0)
  # Hypergeometric: mean 1,000, standard deviation 15.8.
  for one, other in ((train, test), (train, request), (test, request)):
    assert abs(len(np.intersect1d(one, other)) - 1000) < 80


@pytest.mark.parametrize(
  ('sizes', 'match'),
  [
    ((1, None), 'data.num_train is 1, but must be from 2 to 40'),
    ((0, None), 'data.num_train is 0'),
    ((-3, None), 'data.num_train is -3'),
    ((41, None), 'data.num_train is 41'),
    ((None, 0), 'data.num_test is 0, but must be from 1 to 20'),
    ((None, 21), 'data.num_test is 21'),
  ],
)
def test_impossible_sizes_are_refused(sizes, match):
  with pytest.raises(InputError, match=match):
    splits.subset(DATASET, *sizes)


def test_a_negative_seed_is_refused():
  with pytest.raises(InputError, match=r'data\.seed is -1'):
    splits.subset(DATASET, seed=-1)


def test_forget_and_retain_share_out_what_is_trained_on():
  train, test = splits.subset(DATASET, 30, 8, seed=2)
  request = requests.Request('indices', train[[0, 4, 9]])
  forget, retain, held_out, trained = splits.split(
    DATASET, train, test, request
  )
  for batch, positions in (
    (forget, train[[0, 4, 9]]),
    (retain, np.delete(train, [0, 4, 9])),
    (held_out, test + 40),
    (trained, train),
  ):
    np.testing.assert_array_equal(batch['image'].ravel(), positions)
    np.testing.assert_array_equal(batch['label'], positions % 4)
    assert batch['image'].dtype == np.uint8
    assert batch['label'].dtype == np.int32


def test_mislabelled_examples_carry_the_label_trained_on():
  train, test = splits.subset(DATASET)
  request = requests.mislabelled(DATASET.y_train, train, 4, 0.25, seed=0)
  forget, retain, _, both = splits.split(DATASET, train, test, request)
  np.testing.assert_array_equal(forget['label'], request.labels_after)
  np.testing.assert_array_equal(retain['label'], retain['image'].ravel() % 4)
  expected = NUMBERS[:40] % 4
  expected[request.positions] = request.labels_after
  np.testing.assert_array_equal(both['label'], expected)
  np.testing.assert_array_equal(DATASET.y_train, NUMBERS[:40] % 4)
