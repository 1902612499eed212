import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import distance

from jaxunlearn.metrics import similarity


def test_similarity_is_1_for_equal_and_0_for_disjoint_distributions():
  p = jnp.array([[50.0, -50.0], [-50.0, 50.0]])
  assert similarity(p, p).item() == 1.0
  np.testing.assert_allclose(similarity(p, -p), 0.0, atol=1e-6)
  assert similarity(p, -p).item() >= 0


def test_similarity_is_taken_in_bits_and_averaged():
  p, q = jax.random.normal(jax.random.key(0), (2, 50, 10))
  bits = (
    distance.jensenshannon(
      jax.nn.softmax(p), jax.nn.softmax(q), base=2, axis=-1
    )
    ** 2
  )
  found = similarity(p, q)
  assert found.shape == ()
  np.testing.assert_allclose(found, 1 - bits.mean(), rtol=1e-5)


def test_half_of_the_examples_disjoint_is_half_alike():
  p = jnp.array([[50.0, -50.0], [50.0, -50.0]])
  q = jnp.array([[50.0, -50.0], [-50.0, 50.0]])
  np.testing.assert_allclose(similarity(p, q), 0.5, rtol=1e-6)
