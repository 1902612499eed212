"""What every selector, perturber, loss, score and recipe must keep.

A new one is tested by its name in `__all__` alone; where it has a parameter
without default, VALUES needs a value for it.
"""

import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxunlearn import (
  losses,
  masks,
  method,
  objectives,
  perturbers,
  recipes,
  scores,
  selectors,
)
from jaxunlearn.types import Context, Selection, Source

VALUES = {'k': 3, 'fraction': 0.05, 'factor': 0.1}
# What a selector counts, where it is not both scalars and leaves.
OVER = {'last': ('leaves',)}
KEY, OTHER = jax.random.split(jax.random.key(0))


def build(module, name, **values):
  """A factory's product; called with what VALUES has for its parameters."""
  factory = getattr(module, name)
  parameters = inspect.signature(factory).parameters
  values = VALUES | values
  return factory(**{p: values[p] for p in parameters if p in values})


def takes(module, name, parameter):
  return parameter in inspect.signature(getattr(module, name)).parameters


@pytest.fixture
def task(mixed_task):
  """A plain dict of parameters, of two dtypes and with a leaf of shape ()."""
  return mixed_task


@pytest.fixture(autouse=True)
def original_is_left_alone(plain_task, mixed_task, bits):
  """The original outlives every part, bit for bit."""
  tasks = (plain_task, mixed_task)
  before = [bits(task.original) for task in tasks]
  yield
  for task, old in zip(tasks, before, strict=True):
    assert not any(x.is_deleted() for x in jax.tree.leaves(task.original))
    chex.assert_trees_all_equal(bits(task.original), old)


def same(tree, other):
  return all(
    np.array_equal(x, y)
    for x, y in zip(*map(jax.tree.leaves, (tree, other)), strict=True)
  )


def assert_kept(bits, mask, old, new):
  """Where the mask is False, the same bits."""
  leaves = map(jax.tree.leaves, (mask, bits(old), bits(new)))
  for m, x, y in zip(*leaves, strict=True):
    outside = ~np.broadcast_to(m, x.shape)
    np.testing.assert_array_equal(x[outside], y[outside])


def some(params):
  """Selections of several shapes and sizes."""
  nothing = jax.tree.map(lambda x: jnp.array(False), params)
  everything = jax.tree.map(lambda x: jnp.array(True), params)
  scalars = masks.random_k(jax.random.key(5), params, 0.5)
  leaves = {**everything, 'first': nothing['first']}
  return [Selection(m) for m in (nothing, everything, scalars, leaves)]


@pytest.mark.parametrize('name', selectors.__all__)
def test_a_selector(name, task):
  params = task.original['params']
  select = build(selectors, name)
  found = select(KEY, task)

  # A mask of whole leaves or of scalars; scores like the parameters.
  assert isinstance(found, Selection)
  chex.assert_trees_all_equal_structs(found.mask, params)
  for m, x in zip(*map(jax.tree.leaves, (found.mask, params)), strict=True):
    assert m.dtype == bool and m.shape in ((), x.shape)
  if found.scores is not None:
    chex.assert_trees_all_equal_shapes(found.scores, params)
    for x in jax.tree.leaves(found.scores):
      assert jnp.issubdtype(x.dtype, jnp.floating)

  # The same under jit, and for the same key; chance depends on the key.
  jitted = jax.jit(lambda key: select(key, task))
  chex.assert_trees_all_equal(jitted(KEY).mask, found.mask)
  assert same(jitted(KEY), jitted(KEY))
  if 'random' in name:
    assert not same(jitted(OTHER).mask, found.mask)


@pytest.mark.parametrize('k', [0, 3, 5])
@pytest.mark.parametrize(
  ('name', 'over'),
  [
    (name, over)
    for name in selectors.__all__
    if takes(selectors, name, 'k')
    for over in OVER.get(name, ('scalars', 'leaves'))
    if over == 'scalars' or takes(selectors, name, 'over')
  ],
)
def test_a_selector_of_k_selects_exactly_k(name, k, over, task):
  select = build(selectors, name, k=k, over=over)
  params = task.original['params']
  counted = masks.count(select(KEY, task).mask, params)
  assert getattr(counted, over).item() == k


@pytest.mark.parametrize('name', perturbers.__all__)
def test_a_perturber(name, task, bits):
  params = task.original['params']
  perturb = build(perturbers, name)
  jitted = jax.jit(
    lambda key, mask: perturb(key, task, params, Selection(mask))
  )
  for selection in some(params):
    found = perturb(KEY, task, params, selection)
    chex.assert_trees_all_equal_shapes_and_dtypes(found, params)
    assert_kept(bits, selection.mask, params, found)
    assert same(perturb(KEY, task, params, selection), found)
    # A compiler may contract a product and a sum into one rounding.
    compiled = jitted(KEY, selection.mask)
    chex.assert_trees_all_close(compiled, found, rtol=1e-2, atol=1e-6)
    assert_kept(bits, selection.mask, params, compiled)


@pytest.mark.parametrize('name', scores.__all__)
def test_a_score(name, task):
  params = task.original['params']
  score = build(scores, name)
  found = score(KEY, task)
  chex.assert_trees_all_equal_shapes_and_dtypes(found, params)
  chex.assert_tree_all_finite(found)
  assert same(score(KEY, task), found)
  # Sums in another order.
  compiled = jax.jit(lambda key: score(key, task))(KEY)
  chex.assert_trees_all_close(compiled, found, rtol=2e-2, atol=1e-6)


@pytest.mark.parametrize('name', losses.__all__)
def test_a_loss(name):
  loss = getattr(losses, name)
  (term,) = objectives.find_teachers(
    objectives.weighted_sum({'forget': {name: 1.0}}), num_classes=4
  ).terms
  draw = jax.random.normal(jax.random.key(0), (1 + len(term.teachers), 6, 4))
  label = jnp.arange(6) % 4
  for scale in (1.0, 1e4):
    logits, *others = scale * draw
    teachers = dict(zip(sorted(term.teachers), others, strict=True))
    context = Context(teachers, KEY, jnp.zeros((), jnp.int32))
    value = loss(logits, label, context)
    assert value.shape == (6,) and value.dtype == jnp.float32
    slope = jax.grad(lambda x, c=context: loss(x, label, c).sum())(logits)
    chex.assert_tree_all_finite((value, slope))
    compiled = jax.jit(loss)(logits, label, context)
    np.testing.assert_allclose(compiled, value, rtol=1e-5, atol=1e-6)
    # One example does not look at another.
    last = jax.tree.map(lambda x: x[-1:], (logits, label, teachers))
    alone = loss(last[0], last[1], context._replace(teachers=last[2]))
    np.testing.assert_allclose(alone, value[-1:], rtol=1e-5, atol=1e-6)


def run(recipe, task, key=KEY, num_steps=3):
  return list(
    method.unlearn(recipe, task, key, num_steps=num_steps, batch_size=8)
  )


@pytest.mark.parametrize('name', recipes.__all__)
def test_a_recipe(name, task):
  recipe = build(recipes, name)
  assert isinstance(recipe, method.UnlearningMethod)
  states = run(recipe, task)
  assert [state.step.item() for state, _ in states] == [0, 1, 2, 3]
  assert states[0][1] == {}
  for state, metrics in states:
    chex.assert_trees_all_equal_shapes_and_dtypes(
      state.variables, task.original
    )
    chex.assert_tree_all_finite((state.variables, metrics))
  assert all(metrics['loss'].shape == () for _, metrics in states[1:])
  # The key decides, and nothing else.
  assert same(run(recipe, task)[-1][0].variables, state.variables)
  other = run(recipe, task, OTHER)[-1][0].variables
  assert not same(other, state.variables)


class Reader:
  """Examples as a reader of files would give them."""

  def __init__(self, batch):
    self.batch = {k: np.asarray(v) for k, v in batch.items()}

  def __len__(self):
    return len(self.batch['label'])

  def take(self, indices):
    indices = np.asarray(indices)
    taken = {k: v[indices] for k, v in self.batch.items()}
    return {**taken, 'index': indices}


@pytest.mark.parametrize('name', recipes.__all__)
def test_a_recipe_takes_data_that_is_not_held_in_memory(name, plain_task):
  # Of Adam, an ulp in a gradient near 0 may turn a step around.
  recipe = build(recipes, name)._replace(tx=optax.sgd(0.1))
  reading = plain_task._replace(
    forget=Reader(plain_task.forget), retain=Reader(plain_task.retain)
  )
  assert isinstance(reading.forget, Source)
  found = run(recipe, reading, num_steps=1)[-1][0].variables
  expected = run(recipe, plain_task, num_steps=1)[-1][0].variables
  chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-6)


OPTIMIZERS = {
  'adamw': optax.adamw(1e-2, weight_decay=0.1),
  'sgd': optax.chain(
    optax.add_decayed_weights(0.1), optax.sgd(0.1, momentum=0.9)
  ),
}


@pytest.mark.parametrize('tx', OPTIMIZERS)
@pytest.mark.parametrize('name', recipes.__all__)
def test_what_a_recipe_did_not_select_keeps_its_bits(name, tx, task, bits):
  recipe = build(recipes, name)._replace(
    tx=OPTIMIZERS[tx], trainable='selected'
  )
  states = run(recipe, task, num_steps=20)
  state, _ = states[-1]
  assert state.step.item() == 20
  old = task.original['params']
  for now, _ in states:
    assert_kept(bits, state.mask, old, now.variables['params'])
  selected = masks.count(state.mask, old).scalars.item()
  assert selected < sum(x.size for x in jax.tree.leaves(old))
  moved = sum(
    (x != y).sum()
    for x, y in zip(
      *map(jax.tree.leaves, (bits(old), bits(state.variables['params']))),
      strict=True,
    )
  )
  assert moved > 0 if selected else moved == 0
