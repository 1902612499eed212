import jax
import jax.numpy as jnp
import pytest

from jaxunlearn import models

IMAGE = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.uint8)


@pytest.fixture(scope='module')
def densenet():
  """The paper's network, and the shapes of its variables."""
  model = models.create('densenet121', 10)
  return model, jax.eval_shape(model.init, jax.random.key(0), IMAGE)


def test_order_is_that_of_the_blocks(densenet):
  model, variables = densenet
  order = model.order(variables['params'])
  modules = list(dict.fromkeys(path[0] for path in order))
  assert modules == [
    'conv1',
    *(f'dense1_{i}' for i in range(6)),
    'trans1',
    *(f'dense2_{i}' for i in range(12)),
    'trans2',
    *(f'dense3_{i}' for i in range(24)),
    'trans3',
    *(f'dense4_{i}' for i in range(16)),
    'bn',
    'fc',
  ]
  inside = dict.fromkeys(path[1] for path in order if path[0] == 'dense1_0')
  assert list(inside) == ['bn1', 'conv1', 'bn2', 'conv2']


def test_a_block_adds_the_growth_and_a_transition_halves(densenet):
  _, variables = densenet
  params = variables['params']
  for block in range(6):
    first = params[f'dense1_{block}']
    channels = 64 + 32 * block
    assert first['bn1']['scale'].shape == (channels,)
    assert first['conv1']['kernel'].shape == (1, 1, channels, 128)
    assert first['conv2']['kernel'].shape == (3, 3, 128, 32)
  assert params['trans1']['conv']['kernel'].shape == (1, 1, 256, 128)
  assert params['fc']['kernel'].shape == (1024, 10)
  # The classifier's bias and the norms' are all there are.
  biased = {
    path[-2].key
    for path, _ in jax.tree.leaves_with_path(params)
    if path[-1].key == 'bias'
  }
  assert biased == {'bn', 'bn1', 'bn2', 'fc'}


def test_width_is_the_growth():
  model = models.create('densenet121', 10, width=3)
  params = jax.eval_shape(model.init, jax.random.key(0), IMAGE)['params']
  assert params['conv1']['kernel'].shape == (3, 3, 3, 6)
  assert params['dense2_0']['conv2']['kernel'].shape == (3, 3, 12, 3)
  assert len(jax.tree.leaves(params)) == 362


@pytest.mark.parametrize('size', [8, 33])
def test_images_of_other_sizes_have_the_same_parameters(densenet, size):
  model, variables = densenet
  image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
  logits, _ = jax.eval_shape(
    lambda v, x: model.apply(v, x, False), variables, image
  )
  assert logits.shape == (1, 10)


def test_images_that_vanish_are_refused(densenet):
  model, _ = densenet
  image = jax.ShapeDtypeStruct((1, 7, 7, 3), jnp.uint8)
  with pytest.raises(ValueError, match='1x1 pixels: this network needs larger'):
    jax.eval_shape(model.init, jax.random.key(0), image)
