import jax
import jax.numpy as jnp
import numpy as np

from jaxunlearn import losses
from jaxunlearn.divergences import js_divergence
from jaxunlearn.types import Context


def context(teachers):
  return Context(teachers, jax.random.key(0), jnp.zeros((), jnp.int32))


def test_cross_entropy_by_hand():
  logits = jnp.log(jnp.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]))
  found = losses.cross_entropy(logits, jnp.array([0, 2]), context({}))
  np.testing.assert_allclose(found, -np.log([0.5, 0.1]), rtol=1e-6)


def test_js_to_original_compares_with_the_original_and_no_other():
  p, q, other = jax.random.normal(jax.random.key(0), (3, 4, 5))
  label = jnp.zeros(4, jnp.int32)
  found = losses.js_to_original(
    p, label, context({'original': q, 'another': other})
  )
  np.testing.assert_array_equal(found, js_divergence(p, q))


def test_js_to_original_holds_the_original_fixed():
  p, q = jax.random.normal(jax.random.key(0), (2, 4, 5))
  label = jnp.zeros(4, jnp.int32)

  def total(p, q):
    return losses.js_to_original(p, label, context({'original': q})).sum()

  to_p, to_q = jax.grad(total, (0, 1))(p, q)
  assert jnp.abs(to_p).max() > 0
  assert (to_q == 0).all()
