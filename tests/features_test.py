"""A network taken apart gives what it gives whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn import features, masks, method, models, partition, recipes
from jaxunlearn.types import Model, Task, as_source

NETWORKS = {'cnn': 4, 'resnet18': 2, 'vgg19': 2}


def images(seed, size, shape):
  rng = np.random.default_rng(seed)
  return {
    'image': rng.integers(0, 256, (size, *shape), dtype=np.uint8),
    'label': rng.integers(0, 3, size).astype(np.int32),
  }


def last(model, variables, k):
  params = variables['params']
  return partition.moving(masks.last(params, k, model.order(params)))


@pytest.fixture(scope='module', params=NETWORKS)
def network(request, as_if_trained):
  model = models.create(request.param, 3, width=NETWORKS[request.param])
  batch = images(0, 12, (32, 32, 3))
  return model, as_if_trained(model, batch['image'][:1]), batch['image']


def taken_apart(model, moving, image):
  return features.split(
    model, moving, jax.ShapeDtypeStruct((1, *image.shape[1:]), image.dtype)
  )


def test_the_parts_give_what_the_whole_gives(network):
  model, variables, image = network
  moving = last(model, variables, 5)
  before, after = taken_apart(model, moving, image)

  def in_parts(variables, image):
    found = before.apply(variables, image, False)[0]
    return after.apply(variables, found, False)[0]

  whole = jax.jit(lambda v, x: model.apply(v, x, False)[0])
  np.testing.assert_allclose(
    jax.jit(in_parts)(variables, image), whole(variables, image), rtol=1e-5
  )


def test_the_first_part_reads_nothing_that_moves(network):
  model, variables, image = network
  moving = last(model, variables, 5)
  before, _ = taken_apart(model, moving, image)
  moved, still = partition.split(variables['params'], moving)
  lost = jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), moved)
  without = {**variables, 'params': partition.merge(lost, still)}
  found = jax.jit(before.apply, static_argnums=2)(without, image, False)[0]
  assert all(np.isfinite(x).all() for x in found)
  assert all(len(x) == len(image) for x in found)


def test_the_second_part_holds_no_convolution_that_stands_still(network):
  model, variables, image = network
  moving = last(model, variables, 2)
  before, after = taken_apart(model, moving, image)
  found = jax.eval_shape(lambda v, x: before.apply(v, x), variables, image)[0]
  program = jax.jit(after.apply).lower(variables, found).as_text()
  assert 'convolution' not in program and 'dot_general' in program


@pytest.mark.parametrize('recipe', ['eu_k', 'cf_k'])
def test_fine_tuning_ends_where_it_does_without(as_if_trained, recipe):
  model = models.create('cnn', 3, width=4)
  retain, forget = images(0, 20, (8, 8, 3)), images(1, 7, (8, 8, 3))
  original = as_if_trained(model, retain['image'][:1])
  task = Task(model, original, forget, retain)
  own = getattr(recipes, recipe)(3, batch_stats='frozen', learning_rate=1e-2)

  def end(**kwargs):
    steps = method.unlearn(
      own, task, jax.random.key(0), num_steps=6, batch_size=8, **kwargs
    )
    *_, (state, metrics) = steps
    return state.variables, metrics

  (found, measured), (wanted, metrics) = end(cache_features=True), end()
  assert measured.keys() == metrics.keys()
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6),
    found,
    wanted,
  )


def test_what_cannot_be_kept_is_refused(plain_task):
  steps = method.unlearn(
    recipes.cf_k(1),
    plain_task,
    jax.random.key(0),
    num_steps=1,
    batch_size=8,
    cache_features=True,
  )
  with pytest.raises(ValueError, match="batch_stats is 'frozen'"):
    list(steps)


def centred(variables, image, train, key=None):
  del train, key
  image = image.reshape(len(image), -1) / 255
  return (image - image.mean(0, keepdims=True)) @ variables['params'], variables


def summed(variables, image, train, key=None):
  del train, key
  image = image.reshape(len(image), -1) / 255
  return image.sum(0) * variables['params'][:, 0], variables


@pytest.mark.parametrize('apply', [centred, summed])
def test_a_network_that_mixes_its_examples_is_refused(apply):
  source = as_source(images(0, 9, (2, 2, 3)))
  variables = {'params': jnp.ones((12, 3))}
  with pytest.raises(ValueError, match='mix the examples'):
    features.compute(
      Model(None, apply, None), (True,), variables, {'retain': source}, 4
    )


def test_no_more_than_a_batch_is_read_at_once(as_if_trained):
  taken = []

  class Counted:
    def __init__(self, batch):
      self._source = as_source(batch)

    def __len__(self):
      return len(self._source)

    def take(self, indices):
      taken.append(len(indices))
      return self._source.take(indices)

  model, batch = models.create('cnn', 3, width=4), images(0, 30, (8, 8, 3))
  variables = as_if_trained(model, batch['image'][:1])
  moving = last(model, variables, 2)
  _, found = features.compute(
    model, moving, variables, {'retain': Counted(batch)}, 4
  )
  assert max(taken) == 4
  np.testing.assert_array_equal(found['retain'].label, batch['label'])
