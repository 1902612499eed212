from itertools import pairwise

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxunlearn import loop, objectives, train
from jaxunlearn.types import Model, as_source

LEARNABLE = jax.random.randint(jax.random.key(7), (3, 4, 4, 1), 0, 200)


def toy(size=90):
  """Three faint pictures under noise."""
  label = np.arange(size) % 3
  noise = np.random.default_rng(0).integers(0, 56, (size, 4, 4, 1))
  image = (np.asarray(LEARNABLE)[label] + noise).astype(np.uint8)
  return {'image': image, 'label': label}


def noting(model):
  """Counts how often the model is traced."""
  traces = []

  def apply(*args):
    traces.append(1)
    return model.apply(*args)

  return Model(model.init, apply, model.order), traces


@pytest.fixture(scope='module')
def ready(plain_task):
  """A step on both splits, the state before it, and the sources."""
  objective = objectives.weighted_sum(
    {'retain': {'cross_entropy': 1.0}, 'forget': {'cross_entropy': -0.1}}
  )
  tx = optax.adam(1e-2)
  step = train.make_step(plain_task.model, objective, tx, updates='retain')
  everything = jax.tree.map(
    lambda _: jnp.array(True), plain_task.original['params']
  )
  state = train.init(plain_task.original, everything, tx, jax.random.key(1))
  sources = {
    'retain': as_source(plain_task.retain),
    'forget': as_source(plain_task.forget),
  }
  return step, state, sources


def run(ready, num_steps, state=None, batch_size=7):
  step, first, sources = ready
  return list(
    train.run(
      step,
      first if state is None else state,
      sources,
      jax.random.key(2),
      num_steps=num_steps,
      batch_size=batch_size,
    )
  )


def test_fit_learns(plain_task):
  model, traces = noting(plain_task.model)
  *_, (state, metrics) = train.fit(
    model,
    toy(),
    jax.random.key(0),
    num_steps=60,
    batch_size=30,
    tx=optax.adam(2e-2),
  )
  assert metrics.keys() == {'loss', 'train/cross_entropy', 'train/accuracy'}
  assert metrics['train/accuracy'] > 0.95 and metrics['loss'] < 0.3
  assert state.step.item() == 60 and state.step.dtype == jnp.int32
  assert len(traces) == 1


def test_fit_is_a_function_of_its_key(plain_task):
  def fit(seed):
    *_, (state, _) = train.fit(
      plain_task.model,
      toy(),
      jax.random.key(seed),
      num_steps=2,
      batch_size=30,
      tx=optax.sgd(0.1),
    )
    return state.variables

  chex.assert_trees_all_equal(fit(0), fit(0))
  assert not np.array_equal(
    fit(0)['params']['first']['kernel'], fit(1)['params']['first']['kernel']
  )


def test_one_step_of_gradient_descent_by_hand(plain_task):
  tx = optax.sgd(0.5)
  objective = objectives.weighted_sum(
    {'retain': {'cross_entropy': 2.0}, 'forget': {'cross_entropy': -0.5}}
  )
  step = train.make_step(plain_task.model, objective, tx, updates='retain')
  original = plain_task.original
  mask = jax.tree.map(lambda x: jnp.array(x.ndim > 1), original['params'])
  state = train.init(original, mask, tx, jax.random.key(0))
  batch = {
    name: as_source(getattr(plain_task, name)).take(jnp.arange(5))
    for name in ('retain', 'forget')
  }

  def loss(params):
    def mean(split):
      logits, _ = plain_task.model.apply(
        {'params': params}, batch[split]['image'], False
      )
      each = jax.nn.log_softmax(logits)[jnp.arange(5), batch[split]['label']]
      return -each.mean()

    return 2 * mean('retain') - 0.5 * mean('forget')

  value, slope = jax.value_and_grad(loss)(original['params'])
  expected = jax.tree.map(
    lambda m, p, g: jnp.where(m, p - 0.5 * g, p),
    mask,
    original['params'],
    slope,
  )
  after, metrics = jax.jit(step)(state, batch, {})
  chex.assert_trees_all_close(after.variables['params'], expected, rtol=1e-5)
  np.testing.assert_allclose(metrics['loss'], value, rtol=1e-5)
  assert after.step.item() == 1


@pytest.mark.parametrize('num_steps', [0, 1, 6])
def test_run_takes_as_many_steps_as_asked(ready, num_steps):
  found = run(ready, num_steps)
  assert [state.step.item() for state, _ in found] == list(
    range(1, num_steps + 1)
  )


@pytest.mark.parametrize('taken', [1, 4, 5])
def test_a_run_resumed_gives_the_bits_of_one_that_was_not(ready, taken, bits):
  # An epoch is 4 steps.
  whole = run(ready, 7)
  resumed = run(ready, 7, state=whole[taken - 1][0])
  assert len(resumed) == 7 - taken
  for (state, metrics), (again, metrics_again) in zip(
    whole[taken:], resumed, strict=True
  ):
    chex.assert_trees_all_equal(bits(state.variables), bits(again.variables))
    chex.assert_trees_all_equal(state.opt_state, again.opt_state)
    chex.assert_trees_all_equal(metrics, metrics_again)
  assert run(ready, 7, state=whole[-1][0]) == []


def test_an_epoch_sees_each_retain_example_at_most_once(plain_task):
  seen = {'retain': [], 'forget': []}

  class Noting:
    def __init__(self, split, source):
      self.split, self.source = split, source

    def __len__(self):
      return len(self.source)

    def take(self, indices):
      seen[self.split].append(np.asarray(indices))
      return self.source.take(indices)

  sources = {
    name: Noting(name, as_source(getattr(plain_task, name)))
    for name in ('retain', 'forget')
  }

  def counting(state, batch, teachers):
    return state._replace(step=state.step + 1), {}

  state = train.State({}, (), {}, jnp.zeros((), jnp.int32), None)
  list(
    train.run(
      counting,
      state,
      sources,
      jax.random.key(0),
      num_steps=8,
      batch_size=7,
    )
  )
  for epoch in (seen['retain'][:4], seen['retain'][4:]):
    assert len(set(np.concatenate(epoch).tolist())) == 28
  stream = np.concatenate(seen['forget'])
  for i in range(0, 48, 12):
    assert sorted(stream[i : i + 12].tolist()) == list(range(12))


def test_many_steps_in_one_call_are_the_same_as_step_by_step(
  ready, monkeypatch
):
  single = run(ready, 10)
  monkeypatch.setattr(
    loop, 'steps_per_call', lambda steps, resident: min(3, steps)
  )
  before = loop._many_steps._cache_size()
  looped = run(ready, 10)
  assert loop._many_steps._cache_size() == before + 1
  # Epochs of 4 steps, and the rest.
  ends = [3, 4, 7, 8, 10]
  assert [state.step.item() for state, _ in looped] == ends
  for i, taken in enumerate(pairwise([0, *ends])):
    state, metrics = looped[i]
    steps = single[slice(*taken)]
    # Another program, which sums in another order.
    chex.assert_trees_all_close(
      state.variables, steps[-1][0].variables, rtol=1e-3, atol=1e-5
    )
    for name in metrics:
      mean = np.mean([float(m[name]) for _, m in steps])
      np.testing.assert_allclose(metrics[name], mean, rtol=1e-4, atol=1e-6)


def test_a_call_takes_no_more_batches_than_an_epoch_has(ready, monkeypatch):
  taken, sizes = loop._taken, []

  def seen(sources, positions, teachers):
    sizes.extend(len(x) for x in positions.values())
    return taken(sources, positions, teachers)

  monkeypatch.setattr(loop, '_taken', seen)
  monkeypatch.setattr(
    loop, 'steps_per_call', lambda steps, resident: min(32, steps)
  )
  run(ready, 6)
  # Of an epoch of 4 steps, and of one that ends after 2.
  assert set(sizes) == {4}


def test_many_steps_go_into_one_call_where_that_is_quick(monkeypatch):
  monkeypatch.setattr(jax, 'default_backend', lambda: 'cpu')
  assert train.steps_per_call(100, resident=True) == 1
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert train.steps_per_call(100, resident=True) == 32
  assert train.steps_per_call(31, resident=True) == 31
  assert train.steps_per_call(100, resident=False) == 1


def test_a_state_has_buffers_of_its_own(plain_task):
  state = train.init(plain_task.original, {}, optax.sgd(0.1), jax.random.key(0))
  for leaf in jax.tree.leaves(state.variables):
    leaf.delete()
  for leaf in jax.tree.leaves(plain_task.original):
    assert not leaf.is_deleted()


class Nameless:
  """Examples that do not say where they are."""

  def __init__(self, source):
    self.source = source

  def __len__(self):
    return len(self.source)

  def take(self, indices):
    batch = self.source.take(indices)
    return {'image': batch['image'], 'label': batch['label']}


def test_a_source_need_not_say_where_its_examples_are(plain_task):
  objective = objectives.find_teachers(
    objectives.weighted_sum({'retain': {'js_to_original': 1.0}}), 3
  )
  tx = optax.sgd(0.1)
  step = train.make_step(plain_task.model, objective, tx, updates=None)
  mask = jax.tree.map(lambda _: jnp.array(True), plain_task.original['params'])
  state = train.init(plain_task.original, mask, tx, jax.random.key(0))
  source = as_source(plain_task.retain)
  logits = jax.random.normal(jax.random.key(1), (len(source), 3))

  def tuned(source):
    *_, (state_after, _) = train.run(
      step,
      state,
      {'retain': source},
      jax.random.key(2),
      num_steps=2,
      batch_size=7,
      teachers={'retain': {'original': logits}},
    )
    return state_after.variables

  chex.assert_trees_all_equal(tuned(Nameless(source)), tuned(source))


@pytest.mark.parametrize('batch_size', [0, -3])
def test_a_batch_size_below_1_is_refused(ready, batch_size):
  with pytest.raises(ValueError, match=f'one example, not {batch_size}'):
    run(ready, 1, batch_size=batch_size)
