import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn.types import Resident, Source, as_source

IMAGE = np.arange(24, dtype=np.uint8).reshape(6, 2, 2, 1)
LABEL = np.arange(6)


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
