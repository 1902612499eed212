import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn.types import Resident, Source, as_source

IMAGE = np.arange(24, dtype=np.uint8).reshape(6, 2, 2, 1)
LABEL = np.arange(6)


def test_what_numpy_held_is_copied_and_of_the_width_of_jax():
  image = np.zeros((64, 64, 64, 1))
  source = as_source({'image': image, 'label': np.zeros(64, int)})
  image += 1
  assert (source.image.dtype, source.label.dtype) == (jnp.float32, jnp.int32)
  assert not source.image.any()

  @jax.jit
  def within(x):
    return as_source({'image': IMAGE, 'label': LABEL}).take(x)['image']

  np.testing.assert_array_equal(within(np.array([4, 1])), IMAGE[[4, 1]])


def test_a_batch_serves_as_a_source():
  source = as_source({'image': IMAGE, 'label': LABEL})
  assert isinstance(source, Resident) and isinstance(source, Source)
  assert len(source) == 6
  batch = source.take(np.array([4, 1]))
  np.testing.assert_array_equal(batch['image'], IMAGE[[4, 1]])
  assert batch['label'].tolist() == batch['index'].tolist() == [4, 1]
  assert batch['image'].dtype == jnp.uint8
  assert batch['label'].dtype == batch['index'].dtype == jnp.int32


def test_a_source_passes_as_it_is():
  source = Resident(jnp.asarray(IMAGE), jnp.asarray(LABEL))
  assert as_source(source) is source


def test_a_resident_source_passes_through_jit():
  source = as_source({'image': IMAGE, 'label': LABEL})
  found = jax.jit(lambda s, i: s.take(i)['label'])(source, jnp.array([5, 0]))
  assert found.tolist() == [5, 0]


def test_a_batch_without_labels_is_refused():
  with pytest.raises(ValueError, match=r"this one has \['image', 'x'\]"):
    as_source({'image': IMAGE, 'x': LABEL})


def test_a_batch_of_unequal_lengths_is_refused():
  with pytest.raises(ValueError, match=r'\(6, 2, 2, 1\) and \(5,\)'):
    as_source({'image': IMAGE, 'label': LABEL[:5]})


def test_the_arrays_of_a_resident_source_go_by_name():
  source = as_source({'image': IMAGE, 'label': LABEL})
  assert source['image'] is source.image and source['label'] is source.label
  with pytest.raises(KeyError, match='index'):
    source['index']


def test_rows_of_weight_0_are_left_out():
  weight = np.array([1, 0, 0.5, 1, 0, 0], np.float32)
  source = as_source({'image': IMAGE, 'label': LABEL, 'weight': weight})
  assert len(source) == 3 and source.label.tolist() == [0, 2, 3]
  np.testing.assert_array_equal(source.image, IMAGE[[0, 2, 3]])
  source = as_source({'image': IMAGE, 'label': LABEL, 'weight': np.ones(6)})
  assert source.label.tolist() == LABEL.tolist()


def test_weights_of_another_length_or_traced_are_refused():
  batch = {'image': IMAGE, 'label': LABEL}
  with pytest.raises(ValueError, match=r'one weight .* \(5,\) and \(6,\)'):
    as_source({**batch, 'weight': np.ones(5)})
  with pytest.raises(ValueError, match='cannot be traced'):
    jax.jit(lambda w: as_source({**batch, 'weight': w}))(np.ones(6))


def test_labels_that_are_not_integers_are_refused():
  with pytest.raises(ValueError, match='integers; these are float32'):
    as_source({'image': IMAGE, 'label': LABEL + np.float32(0.5)})


@pytest.mark.parametrize(
  'batch',
  [
    {'image': IMAGE[:0], 'label': LABEL[:0]},
    {'image': IMAGE[:0], 'label': []},
    {'image': IMAGE, 'label': LABEL, 'weight': np.zeros(6)},
  ],
)
def test_a_batch_of_no_examples_is_refused(batch):
  with pytest.raises(ValueError, match='at least one example'):
    as_source(batch)
