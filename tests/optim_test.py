import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxunlearn import optim

OPTIMIZERS = {
  'adamw': optax.adamw(0.1, weight_decay=0.1),
  'sgd': optax.chain(
    optax.add_decayed_weights(0.1), optax.sgd(0.1, momentum=0.9)
  ),
  'clipped': optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.1)),
  'lion': optax.lion(0.1, weight_decay=0.1),
}


def setup():
  params = {
    'a': jnp.array([[1.0, -0.0, 0.0], [-2.0, 3.0, -0.0]]),
    'b': jnp.array([1.0, -0.0, 2.0, 0.5], jnp.bfloat16),
    'c': jnp.array(-0.0),
    'd': jnp.array([-0.0, 1.0]),
  }
  mask = {
    'a': jnp.array([[True, False, True], [False, True, False]]),
    'b': jnp.array([True, False, False, True]),
    'c': jnp.array(False),
    'd': jnp.array(True),
  }
  return params, mask


def train(tx, params, mask, steps=20):
  @jax.jit
  def step(params, state):
    gradient = jax.tree.map(lambda x: jnp.ones_like(x) + x, params)
    updates, state = tx.update(gradient, state, params, trainable=mask)
    return optax.apply_updates(params, updates), state

  state = tx.init(params)
  for _ in range(steps):
    params, state = step(params, state)
  return params


@pytest.mark.parametrize('name', OPTIMIZERS)
def test_entries_outside_the_mask_keep_their_bits(name, bits):
  params, mask = setup()
  after = train(optim.train_only(OPTIMIZERS[name]), params, mask)
  chex.assert_trees_all_equal_shapes_and_dtypes(after, params)
  for m, old, new in zip(
    *map(jax.tree.leaves, (mask, bits(params), bits(after))), strict=True
  ):
    selected = np.broadcast_to(m, old.shape)
    np.testing.assert_array_equal(old[~selected], new[~selected])
    assert (old[selected] != new[selected]).all()


def test_where_all_is_trainable_it_is_the_optimizer_itself():
  params, _ = setup()
  tx = OPTIMIZERS['adamw']
  everything = jax.tree.map(lambda _: jnp.array(True), params)
  found = train(optim.train_only(tx), params, everything)
  plain = optax.with_extra_args_support(tx)
  chex.assert_trees_all_equal(found, train(plain, params, everything))


def test_the_optimizer_never_sees_gradients_outside_the_mask():
  tx = optim.train_only(optax.sgd(1.0, momentum=0.9))
  params = jnp.ones(2)
  _, state = tx.update(
    jnp.ones(2),
    tx.init(params),
    params,
    trainable=jnp.array([True, False]),
  )
  assert state[0].trace.tolist() == [1.0, 0.0]
