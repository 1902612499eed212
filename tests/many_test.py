"""Many models from one program are what each gives by itself."""

import chex
import jax
import jax.numpy as jnp
import optax
import pytest

from jaxunlearn import recipes, train, unlearn, unlearn_many

HOW = {'num_steps': 5, 'batch_size': 8}


def one(states, number):
  return jax.tree.map(lambda x: x[number], states)


def test_many_fits_are_each_a_fit(plain_task):
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


@pytest.fixture(scope='module')
def keys():
  return jax.random.split(jax.random.key(1), 4)


@pytest.fixture(scope='module')
def each(plain_task, keys):
  """What each setting comes to by itself, a step a call."""
  found = []
  for number, key in enumerate(keys):
    method = top_k(jax.tree.map(lambda x, n=number: x[n].item(), SWEEP))
    *_, (state, _) = unlearn(method, plain_task, key, **HOW)
    found.append(state.variables)
  return found


def test_many_settings_are_each_an_unlearning(each, keys, plain_task):
  states, selections = unlearn_many(top_k, SWEEP, plain_task, keys, **HOW)
  for number, variables in enumerate(each):
    chex.assert_trees_all_close(
      one(states.variables, number), variables, rtol=1e-4, atol=1e-6
    )
  counts = [
    sum(int(x.sum()) for x in jax.tree.leaves(one(selections.mask, number)))
    for number in range(4)
  ]
  assert counts == [0, 1, 17, 40]


def test_leaves_that_stand_still_have_no_optimizer_state(plain_task):
  keys = jax.random.split(jax.random.key(0), 2)

  def cf_1(own):
    return recipes.cf_k(1, learning_rate=own['rate'])

  sweep = {'rate': jnp.array([1e-2, 1e-3])}
  states, _ = unlearn_many(cf_1, sweep, plain_task, keys, **HOW)
  for number, key in enumerate(keys):
    own = cf_1({'rate': sweep['rate'][number].item()})
    *_, (state, _) = unlearn(own, plain_task, key, **HOW)
    chex.assert_trees_all_close(
      one(states, number)._replace(key=0), state._replace(key=0), rtol=1e-5
    )


def named(own):
  return recipes.top_k(own['k'], 'scalars')


@pytest.mark.parametrize(
  ('make', 'settings', 'words'),
  [
    (named, {'k': [4, 7]}, 'first axis must be that of the 3 keys'),
    (named, {'k': jnp.array([4, 7])}, r"settings\['k'\] has the shape \(2,\)"),
    (named, {'k': jnp.arange(4)}, r'has the shape \(4,\), and'),
    (named, {'k': jnp.array([1, 9999, 3])}, 'k = 9999 is not between 0 and'),
    (named, {'k': jnp.array([1, -3, 3])}, 'k = -3 is below 0'),
    (
      lambda own: recipes.random_k(own['f'], 0.1),
      {'f': jnp.array([0.1, 0.2, 7.0])},
      'between 0 and 1; 7.0',
    ),
    (
      lambda own: recipes.finetune(js_weight=own['js']),
      {'js': jnp.array([0.1, 0.2, 0.3])},
      'give a weight as a schedule',
    ),
  ],
)
def test_what_unlearn_would_refuse_is_refused(
  plain_task, make, settings, words
):
  keys = jax.random.split(jax.random.key(0), 3)
  with pytest.raises(ValueError, match=words):
    unlearn_many(make, settings, plain_task, keys, **HOW)


def test_no_model_and_no_data_are_refused_in_a_sentence(plain_task):
  class Elsewhere:
    def __len__(self):
      return 3

    def take(self, indices):
      raise AssertionError

  keys = jax.random.split(jax.random.key(0), 2)
  with pytest.raises(ValueError, match='there is none'):
    unlearn_many(named, {'k': jnp.zeros(0)}, plain_task, keys[:0], **HOW)
  task = plain_task._replace(retain=Elsewhere())
  with pytest.raises(ValueError, match='needs forget and retain in memory'):
    unlearn_many(named, {'k': jnp.arange(2)}, task, keys, **HOW)


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
  # To select and perturb, and to take a step.
  assert len(traced) == 2
