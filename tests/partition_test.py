import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxunlearn import loop, partition, recipes, train
from jaxunlearn.method import begin, fine_tune, perturb, select

TREE = {'a': jnp.ones((2, 3)), 'b': jnp.zeros(4), 'c': jnp.ones(())}


def test_only_a_whole_leaf_known_to_be_unselected_stands_still():
  mask = {
    'a': jnp.array(False),
    'b': jnp.zeros(4, bool),
    'c': np.array(True),
  }
  assert partition.moving(mask) == (False, True, True)
  seen = []

  def traced(mask):
    seen.append(partition.moving(mask))
    return mask

  jax.jit(traced)(mask)
  assert seen == [(True, True, True)]


def test_what_was_split_merges_again():
  moving = (False, True, False)
  moved, rest = partition.split(TREE, moving)
  assert moved == {'a': None, 'b': TREE['b'], 'c': None}
  chex.assert_trees_all_equal(partition.merge(moved, rest), TREE)
  whole, nothing = partition.split(TREE, None)
  assert jax.tree.leaves(nothing) == []
  chex.assert_trees_all_equal(whole, TREE)


def state_of(recipe, task):
  selection = select(recipe, task, jax.random.key(0))
  params = perturb(recipe, task, jax.random.key(1), selection)
  return begin(recipe, task, params, selection, jax.random.key(2))


def test_the_optimizer_keeps_state_of_what_moves_alone(plain_task):
  state = state_of(recipes.cf_k(k=2), plain_task)
  moments = state.opt_state[0].mu
  assert len(jax.tree.leaves(moments)) == 2
  assert moments['first']['kernel'] is None
  assert moments['second']['bias'].shape == (3,)


def test_no_gradient_is_computed_of_what_stands_still(plain_task, monkeypatch):
  """Counted in matrix products, of which each is a forward or a backward."""
  products = []
  one_step = loop._one_step

  def counted(step, *args):
    text = str(jax.make_jaxpr(step)(*args))
    products.append(text.count('dot_general'))
    return one_step(step, *args)

  monkeypatch.setattr(loop, '_one_step', counted)
  for k in (3, 5):
    recipe = recipes.cf_k(k=k)
    state = state_of(recipe, plain_task)
    steps = fine_tune(
      recipe, plain_task, state, jax.random.key(3), num_steps=1, batch_size=4
    )
    list(steps)
  # Two forward; backward, both weights and the hidden layer, or one weight.
  assert products == [3, 5]


def test_a_partition_gives_the_numbers_of_a_mask(plain_task):
  """What whole leaves leave out, masks of scalars multiply away."""

  def run(whole):
    recipe = recipes.cf_k(k=3, learning_rate=0.1)._replace(tx=optax.sgd(0.1))
    state = state_of(recipe, plain_task)
    if not whole:
      mask = jax.tree.map(
        jnp.broadcast_to,
        state.mask,
        jax.tree.map(jnp.shape, plain_task.original['params']),
      )
      state = train.init(state.variables, mask, recipe.tx, jax.random.key(2))
    steps = fine_tune(
      recipe, plain_task, state, jax.random.key(3), num_steps=5, batch_size=4
    )
    return list(steps)[-1][0].variables

  chex.assert_trees_all_close(run(True), run(False), rtol=1e-5, atol=1e-7)
