import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial import distance

from jaxunlearn.divergences import js_divergence

pytestmark = pytest.mark.usefixtures('strict_dtypes')


def logits(seed, scale=3.0, shape=(200, 10)):
  return scale * jax.random.normal(jax.random.key(seed), shape)


def slopes(p, q):
  return jax.grad(lambda p, q: js_divergence(p, q).sum(), (0, 1))(p, q)


def test_two_models_sure_of_different_classes():
  sure = jnp.log(jnp.full((10,), 0.001 / 9).at[0].set(0.999))
  found = js_divergence(sure[None], jnp.roll(sure, 1)[None])
  assert found.shape == (1,)
  assert abs(found.item() - 0.691) < 5e-4
  # By its definition.
  p = np.full(10, 0.001 / 9)
  p[0] = 0.999
  q = np.roll(p, 1)
  m = (p + q) / 2
  expected = (p * np.log(p / m)).sum() / 2 + (q * np.log(q / m)).sum() / 2
  np.testing.assert_allclose(found[0], expected, rtol=1e-5)


@pytest.mark.parametrize('scale', [0.1, 3.0, 30.0])
def test_agrees_with_scipy(scale):
  p, q = logits(0, scale), logits(1, scale)
  expected = (
    distance.jensenshannon(
      np.asarray(jax.nn.softmax(p), np.float64),
      np.asarray(jax.nn.softmax(q), np.float64),
      axis=-1,
    )
    ** 2
  )
  np.testing.assert_allclose(
    js_divergence(p, q), expected, rtol=1e-4, atol=1e-7
  )


def test_is_finite_with_finite_slopes_at_large_logits():
  p = jnp.array([[1e4, -1e4, 0.0], [1e4, -1e4, 0.0], [-1e4, -1e4, -1e4]])
  q = jnp.array([[-1e4, 1e4, 0.0], [1e4, -1e4, 0.0], [1e4, -1e4, 1e4]])
  values = js_divergence(p, q)
  np.testing.assert_allclose(values[:2], [np.log(2), 0], rtol=1e-6)
  assert jnp.isfinite(values).all()
  for slope in slopes(p, q):
    assert jnp.isfinite(slope).all()


@pytest.mark.parametrize('scale', [1.0, 30.0, 1e4])
def test_is_exactly_0_with_exactly_zero_slopes_for_identical_logits(scale):
  p = logits(0, scale)
  assert (js_divergence(p, p) == 0).all()
  for slope in slopes(p, p):
    assert (slope == 0).all()
  assert (jax.jit(slopes)(p, p)[0] == 0).all()


def test_the_slope_is_that_of_finite_differences():
  p, q = logits(0, shape=(4, 5)), logits(1, shape=(4, 5))
  direction = logits(2, 1.0, shape=(4, 5))
  step = jnp.float32(1e-2)
  ahead = js_divergence(p + step * direction, q).sum()
  behind = js_divergence(p - step * direction, q).sum()
  found = jnp.vdot(slopes(p, q)[0], direction)
  np.testing.assert_allclose(found, (ahead - behind) / (2 * step), rtol=1e-2)


def test_is_symmetric_and_at_most_log_2():
  p, q = logits(0, 30.0), logits(1, 30.0)
  np.testing.assert_array_equal(js_divergence(p, q), js_divergence(q, p))
  assert js_divergence(p, q).max() <= np.log(2) * (1 + 1e-6)
  assert js_divergence(p, q).min() >= -1e-6


def test_does_not_see_a_shift_of_the_logits():
  p, q = logits(0), logits(1)
  np.testing.assert_allclose(
    js_divergence(p + 5.0, q), js_divergence(p, q), atol=1e-5
  )
