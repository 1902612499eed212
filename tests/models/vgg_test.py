import jax
import jax.numpy as jnp
import pytest

from jaxunlearn import models

IMAGE = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.uint8)


@pytest.fixture(scope='module')
def vgg():
  """The paper's network, and the shapes of its variables."""
  model = models.create('vgg19', 10)
  return model, jax.eval_shape(model.init, jax.random.key(0), IMAGE)


def test_order_is_that_of_the_original_and_ends_with_the_classifier(vgg):
  model, variables = vgg
  order = model.order(variables['params'])
  assert order[:5] == (
    ('features_0', 'kernel'),
    ('features_0', 'bias'),
    ('features_1', 'scale'),
    ('features_1', 'bias'),
    ('features_3', 'kernel'),
  )
  assert order[-4:] == (
    ('features_50', 'scale'),
    ('features_50', 'bias'),
    ('fc', 'kernel'),
    ('fc', 'bias'),
  )


def test_the_classifier_is_one_dense_layer(vgg):
  _, variables = vgg
  assert variables['params']['fc']['kernel'].shape == (512, 10)
  assert len(variables['batch_stats']) == 16


def test_width_scales():
  model = models.create('vgg19', 10, width=5)
  params = jax.eval_shape(model.init, jax.random.key(0), IMAGE)['params']
  assert params['features_0']['kernel'].shape == (3, 3, 3, 5)
  assert params['features_49']['kernel'].shape == (3, 3, 40, 40)
  assert len(jax.tree.leaves(params)) == 66


@pytest.mark.parametrize('size', [32, 63, 64])
def test_larger_images_have_the_same_parameters(vgg, size):
  model, variables = vgg
  image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
  logits, _ = jax.eval_shape(
    lambda v, x: model.apply(v, x, False), variables, image
  )
  assert logits.shape == (1, 10)


def test_images_that_vanish_are_refused(vgg):
  model, _ = vgg
  image = jax.ShapeDtypeStruct((1, 28, 28, 3), jnp.uint8)
  with pytest.raises(ValueError, match='1x1 pixels: this network needs larger'):
    jax.eval_shape(model.init, jax.random.key(0), image)
