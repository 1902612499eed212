import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn import models

SIZES = {'cnn': 4, 'resnet18': 2}


@pytest.fixture(scope='module', params=models.names())
def network(request, as_if_trained):
  """A name, its model, and variables for images of 16x16."""
  model = models.create(
    request.param, num_classes=7, width=SIZES[request.param]
  )
  image = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
  return request.param, model, as_if_trained(model, image), image


def test_every_name_is_tested():
  assert set(SIZES) == set(models.names())


def test_logits_are_float32_and_finite(network):
  _, model, variables, image = network
  logits = jax.jit(lambda x: model.apply(variables, x, False)[0])(image)
  assert logits.shape == (3, 7) and logits.dtype == jnp.float32
  assert jnp.isfinite(logits).all()
  assert jnp.abs(logits[0] - logits[1]).max() > 0


def test_order_covers_every_leaf_once(network):
  _, model, variables, _ = network
  # The order is found with images of another size.
  order = model.order(variables['params'])
  leaves = jax.tree.leaves_with_path(variables['params'])
  paths = {tuple(entry.key for entry in path) for path, _ in leaves}
  assert len(order) == len(set(order)) and set(order) == paths
  assert order[0] == ('conv1', 'kernel')
  assert order[-2:] == (('fc', 'kernel'), ('fc', 'bias'))


def test_bfloat16_computes_in_it_and_keeps_float32_params_and_logits(network):
  name, model, variables, image = network
  half = models.create(name, 7, width=SIZES[name], dtype=jnp.bfloat16)
  shapes = jax.eval_shape(half.init, jax.random.key(0), image)
  for leaf in jax.tree.leaves(shapes):
    assert leaf.dtype == jnp.float32
  logits = jax.jit(lambda x: half.apply(variables, x, False)[0])(image)
  assert logits.dtype == jnp.float32
  whole = jax.jit(lambda x: model.apply(variables, x, False)[0])(image)
  assert (logits != whole).any()
  np.testing.assert_allclose(logits, whole, atol=0.1)


def test_an_unknown_name_is_refused():
  with pytest.raises(ValueError, match="no network 'vgg'; there are cnn, resn"):
    models.create('vgg', 10)
