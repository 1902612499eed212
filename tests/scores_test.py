import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn import scores
from jaxunlearn.types import Model, Task

CLASSES = 3


def apply_linear(variables, image, train, key=None):
  del train, key
  params = variables['params']
  x = image.reshape(image.shape[0], -1)
  return x @ params['kernel'] + params['bias'][None], variables


LINEAR = Model(None, apply_linear, None)


def linear_task(shape=(2, 2, 1)):
  keys = jax.random.split(jax.random.key(0), 6)
  pixels = int(np.prod(shape))

  def split(key, size):
    return {
      'image': jax.random.uniform(key, (size, *shape)),
      'label': jax.random.randint(key, (size,), 0, CLASSES),
    }

  params = {
    'kernel': jax.random.normal(keys[0], (pixels, CLASSES)),
    'bias': jax.random.normal(keys[1], (CLASSES,)),
  }
  forget, retain = split(keys[2], 5), split(keys[3], 11)
  return Task(LINEAR, {'params': params}, forget, retain)


def each_gradient(task, loss, split):
  """By hand: [n, pixels, classes] and [n, classes], of n examples."""
  names = {'train': ('retain', 'forget')}.get(split, (split,))
  x = np.concatenate([getattr(task, n)['image'] for n in names], dtype=float)
  x = x.reshape(len(x), -1)
  label = np.concatenate([getattr(task, n)['label'] for n in names])
  params = task.original['params']
  out = x @ np.asarray(params['kernel'], float) + np.asarray(params['bias'])
  if loss == 'output_norm':
    slope = 2 * out
  else:
    p = np.exp(out) / np.exp(out).sum(-1, keepdims=True)
    slope = p - np.eye(CLASSES)[label]
  return {'kernel': x[:, :, None] * slope[:, None], 'bias': slope}


def closed_form(task, loss, split, per_example):
  each = each_gradient(task, loss, split)
  if per_example:
    return {k: np.abs(v).mean(0) for k, v in each.items()}
  return {k: np.abs(v.mean(0)) for k, v in each.items()}


@pytest.mark.parametrize('per_example', [False, True])
@pytest.mark.parametrize('split', ['train', 'forget', 'retain'])
@pytest.mark.parametrize('loss', ['cross_entropy', 'output_norm'])
def test_of_a_linear_model_in_closed_form(loss, split, per_example):
  task = linear_task()
  # More than there are: all of them, each once.
  score = scores.gradient(loss, split, 100, per_example)
  found = score(jax.random.key(1), task)
  expected = closed_form(task, loss, split, per_example)
  chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-6)


def test_images_need_not_have_three_axes():
  task = linear_task(shape=(7,))
  found = scores.gradient()(jax.random.key(1), task)
  expected = closed_form(task, 'cross_entropy', 'train', False)
  chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-6)


def test_one_example_is_drawn_from_either_split_by_the_key():
  task = linear_task()
  score = jax.jit(
    lambda key: scores.gradient(num_examples=1)(key, task)['bias']
  )
  each = np.abs(each_gradient(task, 'cross_entropy', 'train')['bias'])
  drawn = set()
  for key in jax.random.split(jax.random.key(0), 200):
    (example,) = np.flatnonzero(np.isclose(each, score(key), 1e-4).all(-1))
    drawn.add(example.item())
  assert drawn == set(range(16))


def test_the_network_is_in_eval_mode_on_its_own_statistics():
  seen = []

  def apply(variables, image, train, key=None):
    seen.append((train, key))
    logits, _ = apply_linear(variables, image, train)
    return logits * variables['batch_stats'], variables

  task = linear_task()
  task = task._replace(
    model=Model(None, apply, None),
    original={**task.original, 'batch_stats': jnp.zeros(())},
  )
  found = scores.gradient('output_norm')(jax.random.key(0), task)
  assert seen and all(entry == (False, None) for entry in seen)
  chex.assert_trees_all_equal(found, jax.tree.map(jnp.zeros_like, found))


@pytest.mark.parametrize(
  ('kwargs', 'sentence'),
  [
    (
      {'loss': 'mse'},
      "no score of 'mse'; there are cross_entropy, output_norm",
    ),
    ({'split': 'test'}, 'train, forget or retain, not test'),
    ({'num_examples': 0}, 'at least one example, not 0'),
  ],
)
def test_what_makes_no_score_is_refused(kwargs, sentence):
  with pytest.raises(ValueError, match=sentence):
    scores.gradient(**kwargs)
