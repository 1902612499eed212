"""One mesh of many devices: the same masks, and numbers that rounding moves."""

import re

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxunlearn as ju
from jaxunlearn import (
  evaluation,
  loop,
  masks,
  mesh,
  method,
  models,
  predict,
  recipes,
  train,
)
from jaxunlearn.clock import Clock
from jaxunlearn.errors import InputError
from jaxunlearn.models import layers
from jaxunlearn.types import Model, Task, as_source

KEY = jax.random.key(0)
RECIPES = {
  'top_k': recipes.top_k(500, 'scalars', js_weight=0.5),
  'eu_k': recipes.eu_k(2),
  'random_top_k': recipes.random_top_k(0.1, share=0.5),
}


def data(seed, size):
  rng = np.random.default_rng(seed)
  return {
    'image': rng.integers(0, 256, (size, 8, 8, 3), dtype=np.uint8),
    'label': rng.integers(0, 10, size).astype(np.int32),
  }


class Small(nn.Module):
  """A convolution, batch statistics, and a layer that is worth splitting."""

  @nn.compact
  def __call__(self, x, train):
    x = layers.conv(jnp.float32)(8, (3, 3), name='conv')(x)
    x = nn.BatchNorm(use_running_average=not train, name='norm')(x)
    x = nn.relu(x).reshape(len(x), -1)
    x = nn.relu(nn.Dense(32, name='hidden')(x))
    return nn.Dense(10, name='out')(x)


@pytest.fixture(scope='module')
def network():
  return models.from_linen(Small(), (8, 8, 3))


@pytest.fixture(scope='module')
def original(network, as_if_trained):
  return as_if_trained(network, data(0, 1)['image'])


def task_on(devices, network, original):
  forget, retain = (
    mesh.spread(devices, as_source(data(*x))) for x in ((1, 12), (2, 40))
  )
  return Task(network, mesh.place(devices, original), forget, retain)


def unlearned(devices, network, original, recipe):
  """The selection, the last variables and metrics, and logits on retain."""
  network = mesh.gathered(devices, network)
  task = task_on(devices, network, original)
  keys = jax.random.split(KEY, 4)
  with mesh.within(devices):
    selection = method.select(recipe, task, keys[0])
    params = method.perturb(recipe, task, keys[1], selection)
    state = method.begin(recipe, task, params, selection, keys[2])
    state = mesh.place(devices, state)
    places = [x.sharding for x in jax.tree.leaves(state)]
    *_, (state, metrics) = method.fine_tune(
      recipe, task, state, keys[3], num_steps=3, batch_size=16
    )
    assert [x.sharding for x in jax.tree.leaves(state)] == places
    logits = evaluation.logits(
      network, state.variables, {'retain': task.retain}
    )
  return jax.device_get((selection.mask, state.variables, metrics, logits))


@pytest.fixture(scope='module')
def alone(network, original):
  return {
    name: unlearned(None, network, original, recipe)
    for name, recipe in RECIPES.items()
  }


@pytest.mark.parametrize(
  'name, shape',
  [
    *(('top_k', shape) for shape in ((8, 1), (1, 8), (2, 4))),
    ('eu_k', (2, 4)),
    ('random_top_k', (2, 4)),
  ],
)
def test_many_devices_give_the_same(network, original, alone, name, shape):
  mask, variables, metrics, logits = alone[name]
  found = unlearned(mesh.make(*shape), network, original, RECIPES[name])
  chex.assert_trees_all_equal(found[0], mask)
  # Adam divides by the gradient's size: where that is nothing but rounding, a
  # step is the learning rate, either way.
  chex.assert_trees_all_close(found[1], variables, rtol=1e-3, atol=2e-3)
  chex.assert_trees_all_close(
    found[2:], (metrics, logits), rtol=1e-3, atol=5e-3
  )


def test_many_steps_in_one_call_give_the_same(
  network, original, alone, monkeypatch
):
  # As on an accelerator, whose path a CPU can take, if slowly.
  monkeypatch.setattr(
    loop, 'steps_per_call', lambda steps, resident: min(2, steps)
  )
  mask, variables, _, logits = alone['top_k']
  found = unlearned(mesh.make(2, 4), network, original, RECIPES['top_k'])
  chex.assert_trees_all_equal(found[0], mask)
  chex.assert_trees_all_close(found[1], variables, rtol=1e-3, atol=2e-3)
  chex.assert_trees_all_close(found[3], logits, rtol=1e-3, atol=5e-3)


def test_batches_that_are_taken_together_stay_split(network, original):
  devices = mesh.make(2, 4)
  retain = task_on(devices, network, original).retain
  positions = {'retain': np.zeros((3, 16), np.int32)}
  with mesh.within(devices):
    found, _ = loop._taken({'retain': retain}, positions, {})
  for x in found['retain'].values():
    assert x.sharding.shard_shape(x.shape)[:2] == (3, 2)


def test_a_selection_gathers_parameters_alone(network, original):
  devices = mesh.make(1, 8)
  task = task_on(devices, mesh.gathered(devices, network), original)
  with mesh.within(devices):
    program = method._select.lower(
      RECIPES['top_k'].select, task.model, KEY, *method._arrays(task)
    )
  text = program.compile().as_text()
  # Of the one parameter that is split: scores would be another of its shape.
  assert re.findall(r'= (\w+\[[\d,]*)\S* all-gather', text) == ['f32[512,32']


def test_a_step_leaves_all_where_it_was_and_compiles_once(network, original):
  devices, tx, clock = mesh.make(8), optax.adam(1e-3), Clock()
  retain = task_on(devices, network, original).retain
  with mesh.within(devices):
    state = mesh.place(devices, train.begin(network, retain, KEY, tx))
    how = {'num_steps': 4, 'batch_size': 16, 'tx': tx, 'state': state}
    steps = train.fit(network, retain, KEY, **how)
    next(steps)
    with clock.measure('others'):
      for after, _ in steps:
        assert all(x.is_fully_replicated for x in jax.tree.leaves(after))
  assert clock.seconds['compile'] == 0


def test_many_models_at_once_are_those_of_one_device(network, original):
  found = {}
  for name, shape in (('alone', (1, 1)), ('many', (2, 4))):
    devices = mesh.make(*shape)
    model = mesh.gathered(devices, network)
    task = task_on(devices, model, original)
    how = {'num_steps': 2, 'batch_size': 16}
    with mesh.within(devices):
      trained = train.fit_many(
        model, task.retain, jax.random.split(KEY, 2), tx=optax.sgd(0.1), **how
      )
      states, selections = ju.unlearn_many(
        lambda k: recipes.top_k(k, 'scalars'),
        jnp.array([10, 500]),
        task,
        jax.random.split(KEY, 2),
        **how,
      )
    found[name] = jax.device_get(
      (trained.variables, states.variables['batch_stats'], selections.mask)
    )
  chex.assert_trees_all_equal(found['many'][2], found['alone'][2])
  chex.assert_trees_all_close(found['many'], found['alone'], atol=1e-4)


def test_what_is_split_along_model_takes_a_sixth_of_the_memory():
  devices, tx = mesh.make(1, 8), optax.adam(1e-3)
  network = mesh.gathered(devices, models.create('resnet18', 10, width=16))
  retain = mesh.spread(
    devices, as_source({'image': np.zeros((8, 32, 32, 3)), 'label': [0] * 8})
  )
  with mesh.within(devices):
    begun = train.begin(network, retain, KEY, tx)
    state = mesh.place(devices, begun)
  # Never whole on one device, not even at first.
  for tree in begun.variables['params'], state:
    leaves = [x for x in jax.tree.leaves(tree) if x.dtype == jnp.float32]
    whole = sum(x.nbytes for x in leaves)
    here = sum(x.addressable_shards[0].data.nbytes for x in leaves)
    assert here <= whole / 6
  chex.assert_trees_all_equal(
    *(x.variables['params'] for x in jax.device_get((begun, state)))
  )
  scores = jax.tree.map(jnp.abs, state.variables['params'])
  program = jax.jit(masks.top_k).lower(scores, jnp.int32(45)).compile()
  assert 'all-reduce' in program.as_text()
  assert 'all-gather' not in program.as_text()


def test_what_is_predicted_is_split_whatever_its_size():
  devices, shares = mesh.make(8), []

  def apply(variables, image, train, key=None):
    jax.debug.inspect_array_sharding(
      image, callback=lambda x: shares.append(x.shard_shape(image.shape)[0])
    )
    return image.astype(jnp.float32).mean((1, 2)), variables

  network = Model(None, apply, None)
  whole = as_source(data(0, 90))
  expected = predict.logits(network, {}, whole)
  for size, share in ((500, 12), (30, 4)):
    shares.clear()
    source = mesh.spread(devices, whole)
    found = predict.logits(network, {}, source, size)
    np.testing.assert_array_equal(found, expected)
    assert set(shares) == {share}


def test_batches_are_split_where_they_can_be():
  source = mesh.spread(mesh.make(8), as_source(data(0, 40)))
  for size, shape in ((16, (2,)), (12, (12,))):
    label = source.take(np.arange(size))['label']
    assert {x.data.shape for x in label.addressable_shards} == {shape}


def test_one_device_needs_no_mesh():
  assert mesh.make(1) is None
  source = as_source(data(0, 4))
  assert mesh.spread(None, source) is source
  assert mesh.place(None, source).image is source.image


def test_all_devices_are_taken_unless_fewer_are_asked_for():
  assert mesh.make(0).size == 8
  assert mesh.make(2).size == 2
  assert mesh.make(0, 3).shape == {'data': 2, 'model': 3}
  for shape in (9, 1), (2, 5), (0, 9):
    with pytest.raises(InputError, match='there are 8 device'):
      mesh.make(*shape)
