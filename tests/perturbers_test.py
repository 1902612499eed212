import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn import perturbers
from jaxunlearn.types import Selection

pytestmark = pytest.mark.usefixtures('strict_dtypes')

PARAMS = {
  'a': jnp.array([[1.0, -2.0], [3.0, 4.0]]),
  'b': jnp.array(5.0),
  'c': jnp.array([6.0, -0.0]),
}
SELECTION = Selection(
  {
    'a': jnp.array([[True, False], [True, False]]),
    'b': jnp.array(True),
    'c': jnp.array([False, True]),
  }
)
WHOLE = Selection({name: jnp.array(True) for name in PARAMS})


def perturbed(perturb, params=PARAMS, selection=SELECTION, draws=1):
  """What each of several keys gives, as lists."""
  found = jax.jit(jax.vmap(lambda key: perturb(key, None, params, selection)))(
    jax.random.split(jax.random.key(0), draws)
  )
  return [
    {name: x[i].tolist() for name, x in found.items()} for i in range(draws)
  ]


@pytest.mark.parametrize(
  ('factor', 'expected'),
  [
    (0.0, {'a': [[1, -2], [3, 4]], 'b': 5, 'c': [6, 0]}),
    (-1.0, {'a': [[0, -2], [0, 4]], 'b': 0, 'c': [6, 0]}),
    (-2.0, {'a': [[-1, -2], [-3, 4]], 'b': -5, 'c': [6, 0]}),
    (0.5, {'a': [[1.5, -2], [4.5, 4]], 'b': 7.5, 'c': [6, 0]}),
  ],
)
def test_scale_by_hand(factor, expected):
  assert perturbed(perturbers.scale(factor)) == [expected]


def test_scale_rounds_to_the_dtype_of_the_parameters():
  params = {'a': jnp.array([1.0, 3.0], jnp.bfloat16)}
  selection = Selection({'a': jnp.array(True)})
  found = perturbers.scale(0.1)(None, None, params, selection)['a']
  assert found.dtype == jnp.bfloat16
  np.testing.assert_allclose(found.astype(float), [1.1, 3.3], rtol=2**-7)


def test_identity_changes_nothing():
  found = perturbers.identity()(None, None, PARAMS, WHOLE)
  assert found is PARAMS


def test_interpolate_halfway_between_two_values():
  params = {'a': jnp.array([1.0, 7.0]), 'b': jnp.array(3.0)}
  selection = Selection({'a': jnp.array([True, False]), 'b': jnp.array(True)})
  found = perturbed(perturbers.interpolate(0.5), params, selection, 20)
  # Each with itself, or with the other; nothing else.
  same, mixed = {'a': [1.0, 7.0], 'b': 3.0}, {'a': [2.0, 7.0], 'b': 2.0}
  assert all(x in (same, mixed) for x in found)
  assert same in found and mixed in found


@pytest.mark.parametrize('selection', [SELECTION, WHOLE])
def test_interpolate_at_1_permutes_the_selected_values(selection):
  def selected(values):
    return [
      x
      for name, mask in selection.mask.items()
      for x in np.asarray(values[name])[
        np.broadcast_to(mask, np.shape(values[name]))
      ].tolist()
    ]

  found = perturbed(perturbers.interpolate(1.0), selection=selection, draws=99)
  orders = [selected(x) for x in found]
  values = set(selected(PARAMS))
  assert all(sorted(x) == sorted(selected(PARAMS)) for x in orders)
  # Every value comes to every place, across the leaves too.
  assert all(set(place) == values for place in zip(*orders, strict=True))


def test_interpolate_at_0_keeps_the_values():
  (found,) = perturbed(perturbers.interpolate(0.0))
  assert found == {name: x.tolist() for name, x in PARAMS.items()}


def test_interpolate_takes_leaves_of_several_dtypes():
  params = {'a': jnp.array([1.0, 2.0], jnp.bfloat16), 'b': jnp.array([3.0])}
  selection = Selection({'a': jnp.array(True), 'b': jnp.array(True)})
  found = perturbers.interpolate(1.0)(
    jax.random.key(1), None, params, selection
  )
  assert found['a'].dtype == jnp.bfloat16 and found['b'].dtype == jnp.float32
  values = [*found['a'].tolist(), *found['b'].tolist()]
  assert sorted(values) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize('name', ['scale', 'interpolate'])
@pytest.mark.parametrize('factor', [float('nan'), float('inf')])
def test_a_factor_that_is_not_finite_is_refused(name, factor):
  with pytest.raises(ValueError, match=f'must be finite, not {factor}'):
    getattr(perturbers, name)(factor)


def test_reinit_draws_the_selected_entries_anew(plain_task, bits):
  params = plain_task.original['params']
  mask = jax.tree.map(lambda x: jnp.array(x.ndim > 1), params)
  find = perturbers.reinit()
  found = find(jax.random.key(7), plain_task, params, Selection(mask))
  image = jnp.asarray(plain_task.retain['image'][:1])
  fresh = plain_task.model.init(jax.random.key(7), image)['params']
  expected = jax.tree.map(jnp.where, mask, fresh, params)
  chex.assert_trees_all_equal(bits(found), bits(expected))
  again = find(jax.random.key(8), plain_task, params, Selection(mask))
  assert not np.array_equal(again['first']['kernel'], found['first']['kernel'])


def test_reinit_needs_an_init(plain_task):
  task = plain_task._replace(model=plain_task.model._replace(init=None))
  with pytest.raises(ValueError, match='a model needs an init'):
    perturbers.reinit()(jax.random.key(0), task, PARAMS, WHOLE)


def test_a_chain_goes_one_by_one_each_with_a_key_of_its_own():
  keys = []

  def note(key, task, params, selection):
    del task, selection
    keys.append(jax.random.key_data(key).tolist())
    return params

  perturb = perturbers.chain(perturbers.scale(1.0), note, note)
  found = perturb(jax.random.key(0), None, PARAMS, WHOLE)
  np.testing.assert_array_equal(found['c'], 2 * PARAMS['c'])
  assert keys[0] != keys[1]
  assert perturbers.chain()(jax.random.key(0), None, PARAMS, WHOLE) is PARAMS
