import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn import models

IMAGE = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.uint8)


@pytest.fixture(scope='module')
def resnet():
  """The paper's network, and the shapes of its variables."""
  model = models.create('resnet18', 10)
  return model, jax.eval_shape(model.init, jax.random.key(0), IMAGE)


def test_size_is_that_of_the_paper(resnet):
  _, variables = resnet
  leaves = jax.tree.leaves(variables['params'])
  assert len(leaves) == 62
  assert sum(x.size for x in leaves) == 11_173_962


@pytest.mark.parametrize(('last', 'scalars'), [(5, 2_365_450), (10, 4_726_794)])
def test_the_last_leaves_hold_what_table_i_prints(resnet, last, scalars):
  model, variables = resnet
  params = variables['params']

  def size(path):
    leaf = params
    for name in path:
      leaf = leaf[name]
    return leaf.size

  assert sum(size(path) for path in model.order(params)[-last:]) == scalars


def test_order_begins_with_the_stem_and_ends_with_the_classifier(resnet):
  model, variables = resnet
  order = model.order(variables['params'])
  assert len(set(order)) == 62
  assert order[:3] == (
    ('conv1', 'kernel'),
    ('bn1', 'scale'),
    ('bn1', 'bias'),
  )
  assert order[-2:] == (('fc', 'kernel'), ('fc', 'bias'))
  # The stages follow each other.
  stages = [path[0] for path in order if path[0].startswith('layer')]
  assert stages == sorted(stages)


def test_a_stage_halves_the_image_and_doubles_the_channels(resnet):
  _, variables = resnet
  params = variables['params']
  for stage, features in enumerate((64, 128, 256, 512), 1):
    first = params[f'layer{stage}_0']
    assert first['conv2']['kernel'].shape == (3, 3, features, features)
    assert ('shortcut_conv' in first) == (stage > 1)
    assert 'shortcut_conv' not in params[f'layer{stage}_1']
  assert params['fc']['kernel'].shape == (512, 10)


def test_width_scales(resnet):
  model = models.create('resnet18', 10, width=4)
  variables = jax.eval_shape(model.init, jax.random.key(0), IMAGE)
  assert variables['params']['fc']['kernel'].shape == (32, 10)
  assert len(jax.tree.leaves(variables['params'])) == 62
  assert len(jax.tree.leaves(variables['batch_stats'])) == 40
  assert np.prod(variables['params']['conv1']['kernel'].shape) == 27 * 4
