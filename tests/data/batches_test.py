import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxunlearn.data import batches

KEY = jax.random.key(0)


@pytest.mark.parametrize(
  ('size', 'batch_size', 'steps'),
  [(10, 3, 3), (9, 3, 3), (2, 3, 1), (3, 3, 1), (5, 1, 5)],
)
def test_an_epoch_takes_every_position_at_most_once(size, batch_size, steps):
  assert batches.steps_per_epoch(size, batch_size) == steps
  positions = batches.epoch(KEY, 0, size, batch_size)
  assert positions.shape == (steps, min(batch_size, size))
  assert positions.dtype == np.int32
  assert len(set(positions.ravel().tolist())) == positions.size
  assert positions.min() >= 0 and positions.max() < size


def test_epochs_differ_and_repeat_by_number_and_key():
  first = batches.epoch(KEY, 0, 50, 10)
  np.testing.assert_array_equal(first, batches.epoch(KEY, 0, 50, 10))
  assert (first != batches.epoch(KEY, 1, 50, 10)).any()
  assert (first != batches.epoch(jax.random.key(1), 0, 50, 10)).any()
  dropped = [
    set(range(11)) - set(batches.epoch(KEY, number, 11, 5).ravel().tolist())
    for number in range(10)
  ]
  assert len(set(map(tuple, dropped))) > 1


@settings(max_examples=30)
@given(st.integers(1, 6), st.integers(0, 20), st.integers(1, 20))
def test_a_cycle_is_one_stream_of_whole_passes(size, start, length):
  whole = batches.cycle(KEY, 0, 42, size)
  for i in range(0, 42 - size + 1, size):
    assert sorted(whole[i : i + size].tolist()) == list(range(size))
  part = batches.cycle(KEY, start, start + length, size)
  np.testing.assert_array_equal(part, whole[start : start + length])
  assert part.dtype == np.int32


def test_the_passes_of_a_cycle_are_shuffled_anew():
  passes = batches.cycle(KEY, 0, 60, 10).reshape(6, 10)
  assert len({tuple(p.tolist()) for p in passes}) == 6


def test_a_schedule_follows_its_first_split_and_cycles_through_the_others():
  sizes = {'retain': 23, 'forget': 7, 'tiny': 2}
  epochs = [batches.schedule(KEY, number, sizes, 5) for number in range(4)]
  for positions in epochs:
    shapes = {split: x.shape for split, x in positions.items()}
    assert shapes == {'retain': (4, 5), 'forget': (4, 5), 'tiny': (4, 2)}
  # The forget stream goes on from one epoch to the next.
  stream = np.concatenate([x['forget'].ravel() for x in epochs])
  for i in range(0, len(stream) - 7, 7):
    assert sorted(stream[i : i + 7].tolist()) == list(range(7))


def test_a_schedule_does_not_depend_on_the_splits_that_follow():
  alone = batches.schedule(KEY, 3, {'retain': 20}, 5)
  both = batches.schedule(KEY, 3, {'retain': 20, 'forget': 8}, 5)
  np.testing.assert_array_equal(alone['retain'], both['retain'])
  assert (both['retain'] != both['forget']).any()
