import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn import models
from jaxunlearn.models import linen


class Net(nn.Module):
  """Names that sort in another order than they are applied in."""

  @nn.compact
  def __call__(self, x, train):
    x = x.reshape(x.shape[0], -1)
    x = nn.Dense(4, name='z')(x)
    x = nn.BatchNorm(use_running_average=not train, name='block10')(x)
    x = nn.Dropout(0.5, deterministic=not train)(x)
    return nn.Dense(3, name='block2')(x)


MODEL = linen.from_linen(Net(), image_shape=(2, 2, 1))
IMAGE = np.random.default_rng(0).integers(0, 256, (6, 2, 2, 1), dtype=np.uint8)


@pytest.fixture(scope='module')
def variables():
  return MODEL.init(jax.random.key(0), IMAGE)


def test_to_float():
  found = linen.to_float(jnp.array([0, 51, 255], jnp.uint8))
  np.testing.assert_allclose(found, [0, 0.2, 1.0], rtol=1e-6)
  half = jnp.array([0.5], jnp.bfloat16)
  assert linen.to_float(half) is half


def test_uint8_and_float_images_agree(variables):
  whole, _ = MODEL.apply(variables, IMAGE, False)
  share, _ = MODEL.apply(variables, IMAGE.astype(np.float32) / 255, False)
  np.testing.assert_allclose(whole, share, rtol=1e-6)


def test_order_is_that_of_application(variables):
  assert MODEL.order(variables['params']) == (
    ('z', 'kernel'),
    ('z', 'bias'),
    ('block10', 'scale'),
    ('block10', 'bias'),
    ('block2', 'kernel'),
    ('block2', 'bias'),
  )


def test_order_refuses_the_params_of_another_network(variables):
  params = variables['params']
  fewer = {k: v for k, v in params.items() if k != 'z'}
  more = {**params, 'head': {'kernel': jnp.ones(1)}}
  with pytest.raises(ValueError, match='z/bias is a parameter of'):
    MODEL.order(fewer)
  with pytest.raises(ValueError, match='head/kernel is a parameter of'):
    MODEL.order(more)


def test_eval_leaves_the_variables_and_train_moves_the_statistics(variables):
  _, same = MODEL.apply(variables, IMAGE, False)
  assert same is variables
  logits, after = MODEL.apply(variables, IMAGE, True, jax.random.key(0))
  assert logits.shape == (6, 3)
  chex.assert_trees_all_equal(after['params'], variables['params'])
  old, new = variables['batch_stats'], after['batch_stats']
  chex.assert_trees_all_equal_shapes_and_dtypes(old, new)
  assert (old['block10']['mean'] != new['block10']['mean']).any()


def test_the_key_is_that_of_dropout(variables):
  first, second, again = (
    MODEL.apply(variables, IMAGE, True, jax.random.key(seed))[0]
    for seed in (0, 1, 0)
  )
  np.testing.assert_array_equal(first, again)
  assert (first != second).any()


@pytest.mark.parametrize(
  ('mean', 'std'), [(0.5, 0.25), ((0.5, 0.4, 0.3), (0.25, 0.2, 0.1)), (0, 1)]
)
def test_normalized_subtracts_the_mean_and_divides_by_the_deviation(mean, std):
  seen = []

  class Probe(nn.Module):
    @nn.compact
    def __call__(self, x, train):
      seen.append(x)
      return x.reshape(x.shape[0], -1)

  model = models.normalized(models.from_linen(Probe()), mean, std)
  image = np.random.default_rng(0).integers(0, 256, (2, 2, 2, 3), np.uint8)
  expected = (image / 255 - np.array(mean)) / np.array(std)
  variables = model.init(jax.random.key(0), image)
  logits, _ = model.apply(variables, image, False)
  share, _ = model.apply(variables, image.astype(np.float32) / 255, False)
  np.testing.assert_allclose(seen[0], expected, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(logits, expected.reshape(2, -1), atol=1e-5)
  np.testing.assert_allclose(logits, share, atol=1e-5)


def test_a_normalized_model_keeps_params_and_order(variables):
  model = models.normalized(MODEL, 0.5, 0.25)
  found = model.init(jax.random.key(0), IMAGE)
  chex.assert_trees_all_equal(found, variables)
  params = variables['params']
  assert model.order(params) == MODEL.order(params)
  first, second = (
    model.apply(variables, IMAGE, True, jax.random.key(seed))[0]
    for seed in (0, 1)
  )
  assert (first != second).any()
