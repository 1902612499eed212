"""Many models from one program are what each gives by itself."""

import chex
import jax
import jax.numpy as jnp
import optax
import pytest

from jaxunlearn import recipes, train, unlearn, unlearn_many

HOW = {'num_steps': 5, 'batch_size': 8}


@pytest.fixture(params=['cpu', 'gpu'], ids=['in turn', 'side by side'])
def backend(request, monkeypatch):
  """As if on another device, whose path a CPU can take, if slowly."""
  monkeypatch.setattr(jax, 'default_backend', lambda: request.param)


def one(states, number):
  return jax.tree.map(lambda x: x[number], states)


def test_many_fits_are_each_a_fit(backend, plain_task):
  model, keys = plain_task.model, jax.random.split(jax.random.key(0), 3)
  tx = optax.adam(1e-2)
  states = train.fit_many(model, plain_task.retain, keys, tx=tx, **HOW)
  for number, key in enumerate(keys):
    *_, (state, _) = train.fit(model, plain_task.retain, key, tx=tx, **HOW)
    chex.assert_trees_all_close(
      one(states.variables, number), state.variables, rtol=1e-5, atol=1e-7
    )
  assert states.step.tolist() == [5, 5, 5]


# K, ε, learning rate, λ.
SWEEP = {
  'k': jnp.array([0, 1, 17, 40]),
  'factor': jnp.array([0.1, -1.0, 0.5, 0.1]),
  'rate': jnp.array([1e-2, 1e-2, 1e-3, 1e-4]),
  'js': jnp.array([0.1, 0.0, 1.0, 0.5]),
}


def top_k(own):
  return recipes.top_k(
    own['k'],
    'scalars',
    own['factor'],
    js_weight=lambda step: own['js'],
    learning_rate=own['rate'],
    num_examples=10,
  )


def test_many_settings_are_each_an_unlearning(backend, plain_task):
  keys = jax.random.split(jax.random.key(1), 4)
  states, selections = unlearn_many(top_k, SWEEP, plain_task, keys, **HOW)
  for number, key in enumerate(keys):
    method = top_k(jax.tree.map(lambda x, n=number: x[n].item(), SWEEP))
    *_, (state, _) = unlearn(method, plain_task, key, **HOW)
    chex.assert_trees_all_close(
      one(states.variables, number), state.variables, rtol=1e-4, atol=1e-6
    )
  counts = [
    sum(int(x.sum()) for x in jax.tree.leaves(one(selections.mask, number)))
    for number in range(4)
  ]
  assert counts == [0, 1, 17, 40]


def test_random_k_takes_its_numbers_as_data_too(plain_task):
  sweep = {'fraction': jnp.array([0.0, 1.0]), 'factor': jnp.array([2.0, 2.0])}
  keys = jax.random.split(jax.random.key(1), 2)
  _, selections = unlearn_many(
    lambda own: recipes.random_k(own['fraction'], own['factor']),
    sweep,
    plain_task,
    keys,
    num_steps=0,
    batch_size=8,
  )
  for mask in jax.tree.leaves(selections.mask):
    assert not mask[0].any() and mask[1].all()


def test_ten_settings_are_compiled_once(plain_task):
  calls = []

  def counted(own):
    calls.append(own)
    return top_k({'rate': 1e-2, 'js': jnp.array(0.1), **own})

  keys = jax.random.split(jax.random.key(0), 10)
  sweep = {'k': jnp.arange(10), 'factor': jnp.linspace(0.0, 1.0, 10)}
  unlearn_many(counted, sweep, plain_task, keys, **HOW)
  traced = [x for x in calls if isinstance(x['k'], jax.core.Tracer)]
  # To begin, and to take a step.
  assert len(traced) == 2
