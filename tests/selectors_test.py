import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn import masks, selectors
from jaxunlearn.types import Task

PARAMS = {
  'a': jnp.zeros((20, 10)),
  'b': jnp.zeros(40),
  'c': jnp.zeros(()),
}
TASK = Task(None, {'params': PARAMS}, None, None)


def by_chance(key, task):
  """Scores that are all different, and no gradient."""
  leaves, treedef = jax.tree.flatten(task.original['params'])
  keys = jax.random.split(key, len(leaves))
  return treedef.unflatten(
    [jax.random.normal(k, x.shape) for k, x in zip(keys, leaves, strict=True)]
  )


def flat(tree):
  return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


@pytest.mark.parametrize('k', [0, 1, 100, 241])
def test_top_k_takes_the_largest_scores(k, strict_dtypes):
  found = selectors.top_k(k, score=by_chance)(jax.random.key(0), TASK)
  mask, scores = flat(found.mask), flat(found.scores)
  assert mask.sum() == k
  if 0 < k < 241:
    assert scores[mask].min() > scores[~mask].max()


def test_top_k_beyond_the_parameters_is_refused_when_called():
  with pytest.raises(ValueError, match='241 scalars'):
    selectors.top_k(242, score=by_chance)(jax.random.key(0), TASK)


@functools.cache
def random_k_inside(key_seed, fraction):
  """The Random-k selection that Random-TopK draws for itself."""
  _, key, _ = jax.random.split(jax.random.key(key_seed), 3)
  return flat(masks.random_k(key, PARAMS, fraction))


@pytest.mark.parametrize('seed', [0, 1])
@pytest.mark.parametrize('share', [0.0, 0.5, 1.0])
def test_random_top_k_takes_as_many_as_random_k(seed, share, strict_dtypes):
  select = selectors.random_top_k(0.2, share, by_chance)
  found = jax.jit(lambda key: select(key, TASK))(jax.random.key(seed))
  mask, scores = flat(found.mask), flat(found.scores)
  at_random = random_k_inside(seed, 0.2)
  total = at_random.sum()
  assert 20 < total < 80
  assert mask.sum() == total
  by_score = round(share * float(total))
  top = np.zeros_like(mask)
  top[np.argsort(-scores, kind='stable')[:by_score]] = True
  assert mask[top].all()
  assert at_random[mask & ~top].all()
  if share == 0:
    np.testing.assert_array_equal(mask, at_random)
  if share == 1:
    np.testing.assert_array_equal(mask, top)


def test_what_random_top_k_draws_differs_with_the_key():
  select = jax.jit(
    lambda key: selectors.random_top_k(
      0.5, 0.5, lambda _, task: by_chance(jax.random.key(9), task)
    )(key, TASK)
  )
  first, second = select(jax.random.key(0)), select(jax.random.key(1))
  np.testing.assert_array_equal(flat(first.scores), flat(second.scores))
  assert (flat(first.mask) != flat(second.mask)).any()


@pytest.mark.parametrize(
  ('make', 'sentence'),
  [
    (lambda: selectors.top_k(-1), 'k = -1 is below 0'),
    (lambda: selectors.top_k(1, 'layers'), "not 'layers'"),
    (lambda: selectors.last(-1), 'k = -1 is below 0'),
    (lambda: selectors.last(1, 'scalars'), "not 'scalars'"),
    (lambda: selectors.random_k(1.5), 'fraction lies between 0 and 1; 1.5'),
    (lambda: selectors.random_k(float('nan')), 'fraction .* nan'),
    (lambda: selectors.random_top_k(-0.1), 'fraction lies between'),
    (lambda: selectors.random_top_k(0.1, 2), 'share lies between 0 and 1; 2'),
  ],
)
def test_what_selects_nothing_sensible_is_refused_at_once(make, sentence):
  with pytest.raises(ValueError, match=sentence):
    make()


def test_the_last_entries_need_an_order(plain_task):
  task = plain_task._replace(model=plain_task.model._replace(order=None))
  with pytest.raises(ValueError, match='this model has no order'):
    selectors.last(1)(jax.random.key(0), task)
