import jax
import jax.numpy as jnp
import pytest

from jaxunlearn import models

IMAGE = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.uint8)


@pytest.fixture(scope='module')
def googlenet():
  """The paper's network, and the shapes of its variables."""
  model = models.create('googlenet', 10)
  return model, jax.eval_shape(model.init, jax.random.key(0), IMAGE)


def test_order_is_that_of_the_branches(googlenet):
  model, variables = googlenet
  order = model.order(variables['params'])
  modules = list(dict.fromkeys(path[0] for path in order))
  blocks = ['a3', 'b3', 'a4', 'b4', 'c4', 'd4', 'e4', 'a5', 'b5']
  assert modules == ['pre_layers_0', 'pre_layers_1', *blocks, 'fc']
  inside = dict.fromkeys(path[1] for path in order if path[0] == 'a3')
  assert list(inside) == [
    *('b1_0', 'b1_1'),
    *('b2_0', 'b2_1', 'b2_3', 'b2_4'),
    *('b3_0', 'b3_1', 'b3_3', 'b3_4', 'b3_6', 'b3_7'),
    *('b4_1', 'b4_2'),
  ]


def test_the_kernels_of_a_branch(googlenet):
  _, variables = googlenet
  block = variables['params']['e4']
  assert block['b1_0']['kernel'].shape == (1, 1, 528, 256)
  assert block['b2_3']['kernel'].shape == (3, 3, 160, 320)
  assert block['b3_3']['kernel'].shape == (3, 3, 32, 128)
  assert block['b3_6']['kernel'].shape == (3, 3, 128, 128)
  assert block['b4_1']['kernel'].shape == (1, 1, 528, 128)
  assert variables['params']['fc']['kernel'].shape == (1024, 10)


def test_width_scales():
  model = models.create('googlenet', 10, width=8)
  params = jax.eval_shape(model.init, jax.random.key(0), IMAGE)['params']
  assert params['pre_layers_0']['kernel'].shape == (3, 3, 3, 24)
  assert params['b4']['b3_0']['kernel'].shape == (1, 1, 64, 3)
  assert params['fc']['kernel'].shape == (128, 10)
  assert len(jax.tree.leaves(params)) == 258


@pytest.mark.parametrize('width', [4, 12, 60])
def test_a_width_that_splits_a_channel_is_refused(width):
  with pytest.raises(ValueError, match=f'is {width}, .* take a multiple of 8'):
    models.create('googlenet', 10, width=width)


@pytest.mark.parametrize('size', [1, 8, 33])
def test_images_of_other_sizes_have_the_same_parameters(googlenet, size):
  model, variables = googlenet
  image = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
  logits, _ = jax.eval_shape(
    lambda v, x: model.apply(v, x, False), variables, image
  )
  assert logits.shape == (1, 10)
