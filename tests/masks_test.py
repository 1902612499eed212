import contextlib
import functools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxunlearn import masks, ranking
from tests import passes

pytestmark = pytest.mark.usefixtures('strict_dtypes')

SHAPES = (
  ((7,),),
  ((2, 3), (), (1,), (4,)),
  ((), ()),
  ((3, 1, 2, 2), (1, 1), (5,)),
)


def tree(*leaves):
  return {
    f'leaf{i}': jnp.asarray(leaf, jnp.float32) for i, leaf in enumerate(leaves)
  }


def flat(mask):
  return np.concatenate([np.ravel(x) for x in jax.tree.leaves(mask)])


def oracle(scores, k):
  values = flat(scores).astype(np.float32)
  # Of a stable sort of -x: NaN last, and -0.0 with 0.0.
  expected = np.zeros(values.shape, bool)
  expected[np.argsort(-values, kind='stable')[:k]] = True
  return expected


@functools.cache
def jitted(over='scalars'):
  return jax.jit(lambda scores, k: masks.top_k(scores, k, over))


@functools.cache
def made_for(alone=False, few=1):
  """`top_k` for an accelerator that is the only device, or for this machine.

  Where fewer than one in `few` groups of neighbours are looked for, it looks
  among the largest of neighbours first.
  """

  def top_k(scores, k):
    with contextlib.ExitStack() as stack:
      stack.enter_context(mock.patch.object(ranking, '_FEW', few))
      if alone:
        for name, what in (('default_backend', 'gpu'), ('device_count', 1)):
          now = mock.patch.object(jax, name, lambda what=what: what)
          stack.enter_context(now)
      return masks.top_k(scores, k)

  return jax.jit(top_k)


VARIANTS = (
  made_for(few=2**12),
  made_for(),
  made_for(alone=True),
)


# Few values, so that ties are common, and the odd ones.
few = st.sampled_from(
  [0.0, -0.0, 1.0, -1.0, 1e-40, -1e-40, np.nan, np.inf, -np.inf, 3e38]
)
floats = st.floats(width=32)


@st.composite
def scores_and_k(draw):
  shapes = draw(st.sampled_from(SHAPES))
  elements = draw(st.sampled_from([few, floats]))
  leaves = [
    draw(hnp.arrays(np.float32, s, elements=elements, fill=st.nothing()))
    for s in shapes
  ]
  total = sum(int(np.prod(s)) for s in shapes)
  return tree(*leaves), draw(st.integers(0, total))


@given(scores_and_k())
def test_top_k_agrees_with_a_stable_sort(case):
  scores, k = case
  mask = jitted()(scores, k)
  np.testing.assert_array_equal(flat(mask), oracle(scores, k))
  assert masks.count(mask, scores).scalars.item() == k
  for select in VARIANTS:
    np.testing.assert_array_equal(flat(select(scores, k)), flat(mask))


@given(st.data())
def test_count_agrees_with_numpy(data):
  shapes = data.draw(st.sampled_from(SHAPES))
  params = tree(*(np.zeros(s) for s in shapes))
  mask = {
    name: jnp.asarray(
      data.draw(hnp.arrays(bool, data.draw(st.sampled_from([(), x.shape]))))
    )
    for name, x in params.items()
  }
  whole = [np.broadcast_to(mask[k], params[k].shape) for k in params]
  counted = masks.count(mask, params)
  assert counted.scalars.item() == sum(m.sum() for m in whole)
  assert counted.leaves.item() == sum(m.any() for m in whole)
  assert counted.scalars.dtype == counted.leaves.dtype == jnp.int32


def test_count_of_a_mask_that_broadcasts_along_an_axis():
  mask = {'a': jnp.array([[True], [False]])}
  assert masks.count(mask, {'a': jnp.zeros((2, 3))}).scalars.item() == 3


def test_top_k_by_hand():
  mask = masks.top_k(tree([[3.0, 1.0], [2.0, 5.0]], 4.0, [-1.0]), 3)
  assert mask['leaf0'].tolist() == [[True, False], [False, True]]
  assert mask['leaf1'].tolist() is True
  assert mask['leaf2'].tolist() == [False]


@pytest.mark.parametrize(
  ('leaves', 'k', 'expected'),
  [
    # Ties go to what comes first, across leaves too.
    (([1.0, 2.0, 2.0], [2.0, 2.0]), 3, [0, 1, 1, 1, 0]),
    (([1.0, 1.0, 1.0], [1.0, 1.0]), 4, [1, 1, 1, 1, 0]),
    (([[1.0, 1.0], [1.0, 1.0]], 1.0), 3, [1, 1, 1, 0, 0]),
    ((1.0, 1.0, 2.0), 2, [1, 0, 1]),
    # The zeros tie.
    (([-0.0, 0.0, -0.0],), 1, [1, 0, 0]),
    (([0.0, -0.0], [0.0]), 2, [1, 1, 0]),
    # Numbers too small to be normal are still larger than 0.
    (([0.0, 1e-40, 2e-40],), 1, [0, 0, 1]),
    (([np.nan, -np.nan, 1.0, -np.inf],), 3, [1, 0, 1, 1]),
    (([-3.0, -1.0, -2.0],), 1, [0, 1, 0]),
    (([-np.inf, np.nan, np.nan],), 1, [1, 0, 0]),
    (([np.nan, -np.inf, np.nan],), 2, [1, 1, 0]),
    (([1.0, 2.0],), 0, [0, 0]),
    (([1.0, 2.0], [np.nan]), 3, [1, 1, 1]),
  ],
)
def test_top_k_where_it_is_easily_wrong(leaves, k, expected):
  scores = tree(*leaves)
  assert flat(masks.top_k(scores, k)).tolist() == [bool(x) for x in expected]
  for select in VARIANTS:
    assert flat(select(scores, k)).tolist() == [bool(x) for x in expected]


@pytest.mark.parametrize('share', [0.0, 0.9, 1.0])
@pytest.mark.parametrize('select', VARIANTS)
def test_large_leaves_of_which_many_are_no_number_or_tie(select, share):
  rng = np.random.default_rng(0)
  leaves = [rng.integers(-9, 9, s) / 3 for s in ((40, 50), (1200,), (33,))]
  leaves = [np.where(rng.random(x.shape) < share, np.nan, x) for x in leaves]
  scores = tree(*leaves)
  for k in (1, 2, 20, 60, 90, 150, 199, 200, 201, 1000, 3232, 3233):
    np.testing.assert_array_equal(flat(select(scores, k)), oracle(scores, k))


@pytest.mark.parametrize('k', [0, 1, 7, 1000, 2100])
def test_an_accelerator_by_itself_selects_the_same(k):
  rng = np.random.default_rng(0)
  scores = tree(*(rng.integers(0, 50, s) / 7 for s in ((40, 50), (80,), (20,))))
  expected = flat(masks.top_k(scores, k))
  np.testing.assert_array_equal(flat(made_for(alone=True)(scores, k)), expected)


def test_an_accelerator_by_itself_waits_for_the_host_in_one_loop_alone():
  scores = tree(*(np.zeros(s) for s in ((40, 50), (80,), (20,))))
  program = made_for(alone=True).lower(scores, jnp.int32(5)).as_text()
  assert program.count('stablehlo.while') == 1
  # XLA starts a kernel for each mask that leaves a branch.
  assert 'stablehlo.case' not in program and 'stablehlo.if' not in program


@pytest.mark.parametrize('dtype', [jnp.bfloat16, jnp.float16])
def test_top_k_takes_half_precision(dtype):
  scores = {'a': jnp.array([1, 3, 2], dtype), 'b': jnp.array(4, jnp.float32)}
  for select in (masks.top_k, made_for(alone=True)):
    assert flat(select(scores, 2)).tolist() == [False, True, False, True]


@pytest.mark.parametrize(
  'select', [jitted(), jitted('leaves'), made_for(alone=True)]
)
def test_a_traced_k_is_clipped_to_the_range(select):
  scores = tree([1.0, 2.0], 3.0)
  assert flat(select(scores, 99)).all()
  assert not flat(select(scores, -1)).any()


def test_top_k_over_leaves_takes_the_largest_norms():
  scores = tree([[3.0, 4.0]], 4.9, [2.0, 2.0, 2.0, 2.0])
  mask = masks.top_k(scores, 1, 'leaves')
  assert [m.shape for m in mask.values()] == [(), (), ()]
  assert flat(mask).tolist() == [True, False, False]
  assert flat(masks.top_k(scores, 2, 'leaves')).tolist() == [True, True, False]
  assert flat(jitted('leaves')(scores, 2)).tolist() == [True, True, False]
  assert masks.count(mask, scores).scalars.item() == 2


def test_over_leaves_ties_go_to_the_first_and_nan_comes_last():
  scores = tree([1.0, 1.0], [np.nan], [1.0, -1.0], 0.0)
  for k, expected in enumerate(
    ([0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0], [1, 0, 1, 1], [1, 1, 1, 1])
  ):
    found = flat(masks.top_k(scores, k, 'leaves'))
    assert found.tolist() == [bool(x) for x in expected]


def test_top_k_keeps_the_structure():
  scores = {'a': [jnp.ones(2), {'b': jnp.ones((2, 1))}], 'c': (jnp.ones(()),)}
  mask = masks.top_k(scores, 2)
  assert jax.tree.structure(mask) == jax.tree.structure(scores)
  assert jax.tree.map(jnp.shape, mask) == jax.tree.map(jnp.shape, scores)


@pytest.mark.parametrize('k', [-1, 4])
def test_k_out_of_range_is_refused(k):
  with pytest.raises(ValueError, match=f'k = {k} .* 3 scalars'):
    masks.top_k(tree([1.0, 2.0], 3.0), k)
  with pytest.raises(ValueError, match='the 2 leaves'):
    masks.top_k(tree([1.0, 2.0], 3.0), 3, 'leaves')


def test_an_unknown_over_is_refused():
  with pytest.raises(ValueError, match="not 'layers'"):
    masks.top_k(tree([1.0]), 1, 'layers')


def test_top_k_of_a_sharded_tree_is_that_of_the_tree():
  mesh = jax.make_mesh((4,), ('x',), (jax.sharding.AxisType.Auto,))
  scores = tree(np.random.default_rng(0).integers(0, 5, (8, 6)), [2.0, 9.0])
  spread = jax.device_put(
    scores,
    {
      'leaf0': jax.NamedSharding(mesh, jax.P('x')),
      'leaf1': jax.NamedSharding(mesh, jax.P()),
    },
  )
  found = jax.jit(masks.top_k, static_argnums=1)(spread, 20)
  assert len(found['leaf0'].sharding.device_set) == 4
  np.testing.assert_array_equal(flat(found), oracle(scores, 20))


@pytest.mark.parametrize(
  'shape, spec',
  [
    ((264,), ('x',)),
    ((16, 264), (None, 'x')),
    ((3, 3, 16, 64), (None, None, None, 'x')),
    ((3, 3, 264, 16), (None, None, 'x')),
    ((8, 6), ('x',)),
  ],
)
def test_the_scores_of_a_sharded_tree_stay_where_they_are(shape, spec):
  mesh = jax.make_mesh((8,), ('x',), (jax.sharding.AxisType.Auto,))
  rng = np.random.default_rng(0)
  scores = {'a': rng.integers(0, 50, shape).astype(np.float32)}
  place = jax.NamedSharding(mesh, jax.P(*spec))
  spread = jax.device_put(scores, {'a': place})
  select = made_for()
  compiled = select.lower(spread, jnp.int32(20)).compile().as_text()
  # Each pass counts on every device and adds the counts.
  assert 'all-reduce' in compiled
  for moved in ('all-gather', 'all-to-all', 'collective-permute'):
    assert moved not in compiled
  for k in (1, 5, 20, 100):
    found = select(spread, min(k, 48))
    np.testing.assert_array_equal(flat(found), oracle(scores, min(k, 48)))


@pytest.mark.parametrize('dtype', ['float32', 'float16', 'bfloat16'])
def test_it_makes_no_copy_of_the_scores(dtype):
  rng, least = np.random.default_rng(0), float(jnp.finfo(dtype).tiny)
  # The largest are subnormal, of two signs and many powers of 2.
  values = rng.standard_normal((4, 3, 3, 64, 64)) * least / 8
  scores = {str(i): jnp.asarray(x, dtype) for i, x in enumerate(values)}
  # An axis that has no neighbours, as a vocabulary may be.
  scores['prime'] = jnp.ones((1009, 64), dtype) * least / 1e9
  program = jax.jit(masks.top_k).lower(scores, jnp.int32(5)).compile()
  size = sum(x.nbytes for x in jax.tree.leaves(scores))
  assert program.memory_analysis().temp_size_in_bytes < 0.1 * size
  found = flat(program(scores, jnp.int32(1000)))
  np.testing.assert_array_equal(found, oracle(scores, 1000))


@pytest.mark.parametrize(
  ('spread', 'k', 'most'),
  [
    (1, 50_000, 8),
    (1, 950_000, 20),
    (8, 50_000, 14),
    (8, 950_000, 16),
    # Of 100,000 groups of neighbours.
    (1, 20, 1),
    (8, 20, 1),
  ],
)
def test_few_passes_are_enough(spread, k, most):
  normal = np.random.default_rng(0).standard_normal(1_000_000)
  scores = tree(np.exp(spread * normal) if spread > 1 else normal)
  with passes.counted() as found:
    mask = masks.top_k(scores, k)
  np.testing.assert_array_equal(flat(mask), oracle(scores, k))
  among_neighbours, over_all = found
  assert over_all <= most
  assert among_neighbours <= (12 if k == 20 else 0)


@pytest.mark.parametrize(
  ('k', 'most'), [(1, 1), (45, 3), (500, 7), (50_000, 14)]
)
def test_an_accelerator_by_itself_begins_near_the_bound(k, most, monkeypatch):
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  monkeypatch.setattr(jax, 'device_count', lambda: 1)
  rng = np.random.default_rng(0)
  # A few channels have what is largest, as of a convolution.
  scores = tree(rng.standard_normal((2000, 512)) * np.exp(rng.normal(size=512)))
  with passes.counted() as found:
    mask = masks.top_k(scores, k)
  np.testing.assert_array_equal(flat(mask), oracle(scores, k))
  (over_all,) = found
  assert over_all <= most


def test_random_k_draws_each_leaf_anew():
  params = {str(i): jnp.zeros((8, 8)) for i in range(300)}
  mask = masks.random_k(jax.random.key(0), params, 0.5)
  assert len({np.asarray(leaf).tobytes() for leaf in mask.values()}) == 300


def test_random_k_takes_each_scalar_with_the_given_probability():
  params = {
    'a': jnp.zeros((300, 200)),
    'b': jnp.zeros(40_000),
    'c': jnp.ones(()),
  }
  mask = masks.random_k(jax.random.key(0), params, 0.05)
  assert jax.tree.map(jnp.shape, mask) == jax.tree.map(jnp.shape, params)
  # Five standard deviations.
  for name, spread in (('a', 0.0045), ('b', 0.0055)):
    assert mask[name].dtype == bool
    assert abs(mask[name].mean().item() - 0.05) < spread
  rows = mask['a'].mean(1)
  assert rows.min() < 0.04 and rows.max() > 0.06


def test_random_k_at_its_ends_and_beyond():
  params = tree(np.zeros(50), 0.0)
  key = jax.random.key(0)
  assert not flat(masks.random_k(key, params, 0.0)).any()
  assert flat(masks.random_k(key, params, 1.0)).all()
  for fraction in (-0.1, 1.1):
    with pytest.raises(ValueError, match='between 0 and 1'):
      masks.random_k(key, params, fraction)


def test_random_k_draws_leaves_of_one_shape_apart():
  params = tree(np.zeros(100), np.zeros(100))
  mask = masks.random_k(jax.random.key(0), params, 0.5)
  assert (mask['leaf0'] != mask['leaf1']).any()


def test_count_takes_the_booleans_of_python():
  params = {'a': jnp.zeros((2, 3)), 'b': jnp.zeros(4)}
  counted = masks.count({'a': True, 'b': False}, params)
  assert (counted.scalars.item(), counted.leaves.item()) == (6, 1)


NETWORK = {
  'stem': {'kernel': np.ones((3, 3, 1, 2))},
  'bn': {'scale': np.ones(2), 'bias': np.ones(2)},
  'fc': {'kernel': np.ones((2, 4)), 'bias': np.ones(4)},
}
ORDER = (
  ('stem', 'kernel'),
  ('bn', 'scale'),
  ('bn', 'bias'),
  ('fc', 'kernel'),
  ('fc', 'bias'),
)


def chosen(mask):
  return {path for path in ORDER if mask[path[0]][path[1]]}


@pytest.mark.parametrize('k', range(6))
def test_the_last_leaves_are_those_that_the_network_applies_last(k):
  assert chosen(masks.last(NETWORK, k, ORDER)) == set(ORDER[5 - k :])


@pytest.mark.parametrize(('k', 'leaves'), [(0, 0), (1, 2), (2, 5)])
def test_a_layer_is_a_kernel_with_its_bias_and_the_norm_that_follows(k, leaves):
  found = masks.last(NETWORK, k, ORDER, over='layers')
  assert chosen(found) == set(ORDER[5 - leaves :])


def test_a_norm_before_all_kernels_belongs_to_the_first():
  order = (ORDER[1], ORDER[2], ORDER[0], ORDER[3], ORDER[4])
  assert chosen(masks.last(NETWORK, 1, order, over='layers')) == {*ORDER[3:]}
  assert chosen(masks.last(NETWORK, 2, order, over='layers')) == {*ORDER}


@pytest.mark.parametrize(
  ('k', 'order', 'over', 'sentence'),
  [
    (6, ORDER, 'leaves', 'k = 6 is not between 0 and the 5 leaves'),
    (3, ORDER, 'layers', 'k = 3 is not between 0 and the 2 layers'),
    (-1, ORDER, 'leaves', 'k = -1 is not between 0'),
    (1, ORDER, 'scalars', "'leaves' or 'layers', not 'scalars'"),
    (1, ORDER[1:], 'leaves', 'does not name each array'),
    (1, (*ORDER[1:], ORDER[1]), 'leaves', 'does not name each array'),
  ],
)
def test_what_cannot_be_last_is_refused(k, order, over, sentence):
  with pytest.raises(ValueError, match=sentence):
    masks.last(NETWORK, k, order, over)


def test_more_than_an_int32_counts_is_refused():
  many = {'a': jax.ShapeDtypeStruct((2**16, 2**15), jnp.float32)}
  with pytest.raises(ValueError, match='2,147,483,648 entries are more than'):
    jax.eval_shape(lambda x: masks.top_k(x, 3), many)
  with pytest.raises(ValueError, match='more than an int32 counts'):
    masks.count({'a': jnp.array(True)}, many)


def test_a_k_that_is_no_whole_number_is_refused():
  scores = {'a': jnp.arange(4.0)}
  with pytest.raises(ValueError, match=r'k = 2.7 is no whole number'):
    masks.top_k(scores, 2.7)
  assert masks.top_k(scores, 2.0)['a'].sum() == 2


@pytest.mark.parametrize('select', [masks.top_k, made_for(alone=True)])
def test_a_leaf_without_entries_counts_nothing(select):
  scores = tree([1.0], np.zeros((0, 3)), [2.0, 1.0], np.zeros(0))
  mask = select(scores, 2)
  assert jax.tree.map(jnp.shape, mask) == jax.tree.map(jnp.shape, scores)
  assert flat(mask).tolist() == [True, True, False]
  assert masks.count(mask, scores).scalars == 2
