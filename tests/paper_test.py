"""Table I of the paper: how many entries each strategy perturbs.

Of networks at full size, by shapes alone: nothing is computed but masks.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.paper import settings
from jaxunlearn import masks, models, once, recipes
from jaxunlearn.types import Task

# Leaves, scalars, scalars of the last 5 and of the last 10 leaves, K of Top-K,
# and the printed Random-k in millions.
PRINTED = {
  'resnet18': (62, 11_173_962, 2_365_450, 4_726_794, 45, 0.558),
  'vgg19': (66, 20_040_522, 6_666, 4_726_794, 30, 1.002),
  'densenet121': (362, 6_956_298, 49_162, 178_378, 45, 0.348),
  'googlenet': (258, 6_166_250, 10_634, 264_970, 50, 0.308),
}
NETWORKS = sorted(PRINTED)


@functools.cache
def network(name):
  """The model, and the shapes of its parameters."""
  width = settings.WIDTHS[settings.FULL][name]
  model = models.create(name, 10, width=width)
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), image)
  return model, variables['params']


def selected(name, mask):
  count = masks.count(mask, network(name)[1])
  return int(count.scalars), int(count.leaves)


@pytest.mark.parametrize('name', NETWORKS)
def test_the_networks_are_those_of_the_paper(name):
  _, params = network(name)
  everything = jax.tree.map(lambda _: np.array(True), params)
  leaves, scalars, *_ = PRINTED[name]
  assert selected(name, everything) == (scalars, leaves)


@pytest.mark.parametrize('name', NETWORKS)
@pytest.mark.parametrize('recipe', ['eu_k', 'cf_k'])
def test_eu_and_cf_take_as_many_scalars_as_printed(recipe, name):
  model, params = network(name)
  task = Task(model, {'params': params}, None, None)
  for k, scalars in zip((5, 10), PRINTED[name][2:4], strict=True):
    method = getattr(recipes, recipe)(k)
    found = method.select(jax.random.key(0), task)
    assert selected(name, found.mask) == (scalars, k)


@pytest.mark.parametrize('name', NETWORKS)
def test_random_k_takes_as_many_scalars_as_printed(name):
  _, scalars, _, _, _, printed = PRINTED[name]
  assert abs(0.05 * scalars / 1e6 - printed) < 1e-3
  params = network(name)[1]
  if name != 'vgg19':
    # Each draw is compiled by itself; one of all scalars is as good elsewhere.
    params = jax.ShapeDtypeStruct((scalars,), jnp.float32)
  draw = once.jit(lambda key: masks.random_k(key, params, 0.05))
  mask = draw(jax.random.key(0))
  found = int(masks.count(mask, params).scalars)
  deviation = math.sqrt(scalars * 0.05 * 0.95)
  assert abs(found - 0.05 * scalars) < 5 * deviation


@pytest.mark.parametrize(
  ('name', 'over'),
  # Over scalars there is nothing to a network but its size.
  [*((name, 'leaves') for name in NETWORKS), ('vgg19', 'scalars')],
)
def test_top_k_takes_k_of_either_reading(name, over):
  leaves, scalars, _, _, k, _ = PRINTED[name]
  assert settings.TOP_K[name] == k < leaves
  _, params = network(name)
  if over == 'scalars':
    params = jax.ShapeDtypeStruct((scalars,), jnp.float32)
  rng = np.random.default_rng(0)
  scores = jax.tree.map(
    lambda x: rng.standard_normal(x.shape, np.float32), params
  )
  select = once.jit(lambda scores: masks.top_k(scores, k, over))
  found = masks.count(select(scores), params)
  assert getattr(found, over) == k


def test_the_layers_of_resnet18_are_its_convolutions_and_its_head():
  model, params = network('resnet18')
  order = model.order(params)
  whole = masks.last(params, 21, order, over='layers')
  assert selected('resnet18', whole) == PRINTED['resnet18'][1::-1]
  with pytest.raises(ValueError, match='the 21 layers'):
    masks.last(params, 22, order, over='layers')
