import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn.models import layers

KEY = jax.random.key(0)
X = 3 + 2 * np.random.default_rng(0).normal(size=(5, 4, 4, 3))


@pytest.fixture
def norm():
  """A BatchNorm with parameters and statistics as after training."""
  variables = {
    'params': {
      'scale': jnp.array([1.0, 2.0, -1.0]),
      'bias': jnp.array([0.5, 0.0, 1.0]),
    },
    'batch_stats': {
      'mean': jnp.array([1.0, -1.0, 0.0]),
      'var': jnp.array([2.0, 0.5, 4.0]),
    },
  }
  return layers.BatchNorm(), variables


def by_hand(x, mean, var, params):
  y = (x - mean) / np.sqrt(var + 1e-5)
  return y * np.asarray(params['scale']) + np.asarray(params['bias'])


def test_batch_norm_begins_with_identity():
  variables = layers.BatchNorm().init(KEY, X, train=False)
  assert variables['params']['scale'].tolist() == [1, 1, 1]
  assert variables['params']['bias'].tolist() == [0, 0, 0]
  assert variables['batch_stats']['mean'].tolist() == [0, 0, 0]
  assert variables['batch_stats']['var'].tolist() == [1, 1, 1]


def test_batch_norm_in_eval_mode_uses_the_running_statistics(norm):
  module, variables = norm
  found = module.apply(variables, jnp.float32(X), train=False)
  stats = {k: np.asarray(v) for k, v in variables['batch_stats'].items()}
  expected = by_hand(X, stats['mean'], stats['var'], variables['params'])
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_batch_norm_in_train_mode_by_hand(norm):
  module, variables = norm
  found, updated = module.apply(
    variables, jnp.float32(X), train=True, mutable=['batch_stats']
  )
  axes = (0, 1, 2)
  # By the biased variance ...
  expected = by_hand(X, X.mean(axes), X.var(axes), variables['params'])
  np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
  # ... and the unbiased one is kept.
  old, new = variables['batch_stats'], updated['batch_stats']
  mean = 0.9 * np.asarray(old['mean']) + 0.1 * X.mean(axes)
  var = 0.9 * np.asarray(old['var']) + 0.1 * X.var(axes, ddof=1)
  np.testing.assert_allclose(new['mean'], mean, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(new['var'], var, rtol=1e-5)


def test_batch_norm_of_one_value_is_finite(norm):
  module, variables = norm
  found, updated = module.apply(
    variables, jnp.ones((1, 3)), train=True, mutable=['batch_stats']
  )
  np.testing.assert_allclose(found, [[0.5, 0.0, 1.0]], atol=1e-6)
  assert jnp.isfinite(updated['batch_stats']['var']).all()


def test_batch_norm_in_bfloat16_keeps_float32_statistics(norm):
  _, variables = norm
  found, updated = layers.BatchNorm(dtype=jnp.bfloat16).apply(
    variables, jnp.bfloat16(X), train=True, mutable=['batch_stats']
  )
  assert found.dtype == jnp.bfloat16
  for value in updated['batch_stats'].values():
    assert value.dtype == jnp.float32
  np.testing.assert_allclose(
    updated['batch_stats']['var'],
    0.9 * variables['batch_stats']['var'] + 0.1 * X.var((0, 1, 2), ddof=1),
    rtol=1e-2,
  )


@pytest.mark.parametrize(
  ('shape', 'kernel', 'fan_in'),
  [((1, 8, 8, 12), (3, 3), 108), ((1, 8, 8, 300), (1, 1), 300)],
)
def test_convolutions_begin_as_in_pytorch(shape, kernel, fan_in):
  module = layers.conv(jnp.float32)(64, kernel)
  params = module.init(KEY, jnp.zeros(shape))['params']
  assert set(params) == {'kernel'}
  check_uniform(params['kernel'], 1 / np.sqrt(fan_in))


def test_dense_layers_begin_as_in_pytorch():
  module = layers.dense(1000, 256)
  params = module.init(KEY, jnp.zeros((1, 256)))['params']
  check_uniform(params['kernel'], 1 / 16)
  check_uniform(params['bias'], 1 / 16)


def check_uniform(values, bound):
  values = np.asarray(values).ravel() / bound
  assert np.abs(values).max() <= 1 + 1e-6
  assert values.min() < -0.98 and values.max() > 0.98
  assert abs(values.mean()) < 0.06
  assert abs(values.std() - 1 / np.sqrt(3)) < 0.03


@pytest.mark.parametrize(('kernel', 'stride'), [(3, 1), (3, 2), (1, 2)])
def test_a_convolution_pads_as_pytorch_does(kernel, stride):
  module = layers.conv(jnp.float32)(1, (kernel, kernel), (stride, stride))
  x = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)
  w = np.random.default_rng(1).normal(size=(kernel, kernel))
  found = module.apply(
    {'params': {'kernel': jnp.float32(w)[:, :, None, None]}},
    x[None, :, :, None],
  )
  padded = np.pad(x, kernel // 2)
  expected = [
    [
      (padded[i : i + kernel, j : j + kernel] * w).sum()
      for j in range(0, 6, stride)
    ]
    for i in range(0, 6, stride)
  ]
  np.testing.assert_allclose(found[0, :, :, 0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_global_mean_is_float32(dtype):
  found = layers.global_mean(jnp.asarray(X, dtype))
  assert found.dtype == jnp.float32
  np.testing.assert_allclose(found, X.mean((1, 2)), rtol=1e-2, atol=1e-2)


def test_a_convolution_has_a_bias_where_channels_are_given():
  module = layers.conv(jnp.float32)(2000, (3, 3), channels=12)
  params = module.init(KEY, jnp.zeros((1, 4, 4, 12)))['params']
  check_uniform(params['kernel'], 1 / np.sqrt(108))
  check_uniform(params['bias'], 1 / np.sqrt(108))


@pytest.mark.parametrize(
  ('size', 'stride', 'shape'),
  [
    (2, 2, (6, 8)),
    (2, 2, (5, 7)),
    (3, 1, (5, 4)),
    (3, 2, (5, 4)),
    (3, 2, (1, 1)),
  ],
)
def test_max_pool_and_its_gradient(size, stride, shape):
  x = jnp.float32(np.random.default_rng(0).normal(size=(2, *shape, 3))) - 5
  pad = (size - 1) // 2

  def reference(x):
    return nn.max_pool(x, (size, size), (stride, stride), [(pad, pad)] * 2)

  found = layers.max_pool(x, size, stride)
  np.testing.assert_array_equal(found, reference(x))
  weight = jnp.float32(np.random.default_rng(1).normal(size=found.shape))
  slopes = [
    jax.grad(lambda x, f=f: (f(x) * weight).sum())(x)
    for f in (lambda x: layers.max_pool(x, size, stride), reference)
  ]
  np.testing.assert_allclose(*slopes, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('dtype', [jnp.float32, jnp.bfloat16])
def test_mean_pool(dtype):
  x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 6, 3)), dtype)
  found = layers.mean_pool(x)
  assert found.dtype == dtype and found.shape == (2, 2, 3, 3)
  wide = np.asarray(x, np.float32)[:, :4].reshape(2, 2, 2, 3, 2, 3)
  expected = wide.mean((2, 4))
  np.testing.assert_allclose(
    np.asarray(found, np.float32), expected, rtol=1e-2, atol=1e-3
  )


def test_a_pooling_of_too_few_pixels_is_refused():
  with pytest.raises(ValueError, match='a 2x2 pooling meets 1x3 pixels'):
    layers.max_pool(jnp.zeros((1, 1, 3, 2)), 2, 2)
