import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxunlearn import (
  loop,
  losses,
  masks,
  method,
  models,
  perturbers,
  recipes,
  selectors,
)
from jaxunlearn.clock import Clock
from jaxunlearn.divergences import js_divergence
from jaxunlearn.models import layers
from jaxunlearn.types import Task, as_source

KEY = jax.random.key(0)


def data(seed, size, shape, classes):
  rng = np.random.default_rng(seed)
  return {
    'image': rng.integers(0, 256, (size, *shape), dtype=np.uint8),
    'label': rng.integers(0, classes, size).astype(np.int32),
  }


def network_task(as_if_trained, model, shape, classes):
  forget, retain = data(0, 6, shape, classes), data(1, 10, shape, classes)
  image = jnp.asarray(retain['image'][:1])
  return Task(model, as_if_trained(model, image), forget, retain)


@pytest.fixture(scope='module')
def resnet(as_if_trained):
  model = models.normalized(
    models.create('resnet18', 10, width=4), (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
  )
  return network_task(as_if_trained, model, (16, 16, 3), 10)


class Small(nn.Module):
  """A convolution, a norm, a classifier: quick to compile."""

  @nn.compact
  def __call__(self, x, train):
    x = layers.conv(jnp.float32)(4, (3, 3), name='conv')(x)
    x = nn.relu(layers.BatchNorm(name='norm')(x, train))
    return layers.dense(3, 4, name='fc')(layers.global_mean(x))


@pytest.fixture(scope='module')
def small(as_if_trained):
  model = models.from_linen(Small(), image_shape=(8, 8, 1))
  return network_task(as_if_trained, model, (8, 8, 1), 3)


def shaken(**kwargs):
  """All of the small network is far from the original."""
  unlearning = recipes.top_k(k=5, factor=2.0, js_weight=1.0, **kwargs)
  return unlearning._replace(tx=optax.sgd(0.1))


def steps(unlearning, task, num_steps=1, **kwargs):
  """States and metrics; the first is the perturbed state."""
  return list(
    method.unlearn(
      unlearning, task, KEY, num_steps=num_steps, batch_size=4, **kwargs
    )
  )


@pytest.mark.parametrize('batch_stats', ['retain', 'frozen'])
def test_where_nothing_is_selected_the_js_term_and_its_gradient_are_0(
  resnet, batch_stats, bits
):
  # Equation 10 but for the weight of cross entropy, which is 0 in step 0
  # alone: what moves there moves by the JS term.
  finetune = recipes.finetune(js_weight=1.0, batch_stats=batch_stats)._replace(
    objective={
      'retain': {'cross_entropy': optax.linear_schedule(0.0, 1.0, 1)},
      'forget': {'js_to_original': 1.0},
    },
    tx=optax.sgd(1.0),
  )
  (perturbed, _), (after, metrics), (later, _) = steps(finetune, resnet, 2)
  old, new = resnet.original, after.variables
  chex.assert_trees_all_equal(bits(perturbed.variables), bits(old))
  assert metrics['forget/js_to_original'] == 0
  assert metrics['retain/cross_entropy'] > 0
  chex.assert_trees_all_equal(new['params'], old['params'])
  moved = [
    (x != y).any().item()
    for x, y in zip(
      *map(jax.tree.leaves, (old['batch_stats'], new['batch_stats'])),
      strict=True,
    )
  ]
  assert all(moved) if batch_stats == 'retain' else not any(moved)
  # The second step is one that moves.
  kernel = later.variables['params']['conv1']['kernel']
  assert (kernel != old['params']['conv1']['kernel']).any()


def test_the_js_term_is_not_0_where_something_is_perturbed(small):
  unlearning = shaken()
  _, (_, metrics) = steps(unlearning, small)
  assert metrics['forget/js_to_original'] > 1e-3


def test_the_js_term_is_taken_in_eval_mode_on_the_cached_teacher(small):
  unlearning = shaken()
  # A forget set of one batch, so that the order of its examples is all one.
  task = small._replace(forget={k: v[:4] for k, v in small.forget.items()})
  (state, _), (_, metrics) = steps(unlearning, task)
  image = jnp.asarray(task.forget['image'])
  now, _ = task.model.apply(state.variables, image, False)
  original, _ = task.model.apply(task.original, image, False)
  np.testing.assert_allclose(
    metrics['forget/js_to_original'],
    js_divergence(now, original).mean(),
    rtol=1e-4,
  )


def test_statistics_move_by_the_retain_images_alone(small):
  unlearning = shaken()
  other = data(5, 6, (8, 8, 1), 3)
  selected = method.select(unlearning, small, KEY)
  params = method.perturb(unlearning, small, KEY, selected)

  def tuned(task):
    state = method.begin(unlearning, task, params, selected, KEY)
    ((state, _),) = method.fine_tune(
      unlearning, task, state, KEY, num_steps=1, batch_size=4
    )
    return state.variables

  found, replaced = tuned(small), tuned(small._replace(forget=other))
  chex.assert_trees_all_equal(found['batch_stats'], replaced['batch_stats'])
  assert (
    found['params']['fc']['kernel'] != replaced['params']['fc']['kernel']
  ).any()
  more = tuned(small._replace(retain=data(6, 10, (8, 8, 1), 3)))
  norm = found['batch_stats']['norm']
  assert (norm['mean'] != more['batch_stats']['norm']['mean']).all()
  # As training mode gives them, from the retain batch and the old ones.
  assert (norm['mean'] != small.original['batch_stats']['norm']['mean']).all()


def test_frozen_statistics_keep_their_bits_and_are_used(small, bits):
  unlearning = recipes.top_k(k=2, factor=0.5, batch_stats='frozen')
  for state, _ in steps(unlearning, small, 4):
    chex.assert_trees_all_equal(
      bits(state.variables['batch_stats']), bits(small.original['batch_stats'])
    )


def black(key, image):
  del key
  return jnp.zeros_like(image)


def js_on_retain(logits, label, context):
  return losses.js_to_original(logits, label, context)


@pytest.mark.parametrize('batch_stats', ['retain', 'frozen'])
def test_augmentation_touches_the_train_pass_alone(small, batch_stats):
  unlearning = shaken(batch_stats=batch_stats)
  unlearning = unlearning._replace(
    objective={
      'retain': {'cross_entropy': 1.0, js_on_retain: 1.0},
      'forget': {'js_to_original': 1.0},
    }
  )
  _, (_, plain) = steps(unlearning, small)
  _, (_, augmented) = steps(unlearning, small, augment=black)
  for name in ('forget/js_to_original', 'retain/js_on_retain'):
    # Another program around them.
    np.testing.assert_allclose(plain[name], augmented[name], rtol=1e-5)
  name = 'retain/cross_entropy'
  close = np.isclose(plain[name], augmented[name], rtol=1e-5)
  assert close == (batch_stats == 'frozen')


def test_fine_tuning_resumes_to_the_same_bits(small, bits):
  unlearning = recipes.top_k(k=3, js_weight=1.0)
  key_select, key_perturb, key_steps, key_tune = jax.random.split(KEY, 4)
  whole = steps(unlearning, small, 5)
  # By its stages, as a launcher that resumes calls them.
  selection = method.select(unlearning, small, key_select)
  params = method.perturb(unlearning, small, key_perturb, selection)
  state = method.begin(unlearning, small, params, selection, key_steps)
  chex.assert_trees_all_equal(
    bits(state.variables), bits(whole[0][0].variables)
  )
  resumed = list(
    method.fine_tune(
      unlearning, small, whole[3][0], key_tune, num_steps=5, batch_size=4
    )
  )
  assert len(resumed) == 2
  chex.assert_trees_all_equal(
    bits(resumed[-1][0].variables), bits(whole[-1][0].variables)
  )


def test_methods_that_differ_in_their_selection_compile_one_step(plain_task):
  before = loop._one_step._cache_size()
  for k in range(10):
    recipe = recipes.top_k(k=k, over='scalars', learning_rate=0.0123)
    list(steps(recipe, plain_task, 1))
  assert loop._one_step._cache_size() == before + 1


@pytest.mark.parametrize('over', ['scalars', 'leaves'])
def test_one_program_selects_for_every_k(plain_task, over):
  before = method._select._cache_size()
  chosen = [
    method.select(recipes.top_k(k, over, num_examples=3), plain_task, KEY)
    for k in range(3)
  ]
  params = plain_task.original['params']
  counts = [masks.count(selection.mask, params) for selection in chosen]
  found = [getattr(count, over) for count in counts]
  assert found == [0, 1, 2]
  assert method._select._cache_size() == before + 1


def test_requests_of_two_sizes_compile_one_step(plain_task):
  forget = as_source(plain_task.forget)
  recipe = recipes.finetune(js_weight=0.5, learning_rate=0.0345)
  before = loop._one_step._cache_size()
  for size in (len(forget), len(forget) - 3):
    task = plain_task._replace(forget=as_source(forget.take(range(size))))
    list(steps(recipe, task, 1))
  assert loop._one_step._cache_size() == before + 1


def test_a_second_epoch_compiles_nothing(plain_task):
  clock = Clock()
  epoch = max(1, len(as_source(plain_task.retain)) // 4)
  states = method.unlearn(
    recipes.top_k(k=3, over='scalars'),
    plain_task,
    KEY,
    num_steps=2 * epoch,
    batch_size=4,
  )
  while next(states)[0].step < epoch:
    pass
  with clock.measure('second'):
    *_, (state, _) = states
  assert state.step == 2 * epoch
  assert clock.seconds['compile'] == 0


def test_a_state_does_not_share_buffers_with_the_original(plain_task):
  (state, _), *_ = steps(recipes.finetune(), plain_task, 0)
  for leaf in jax.tree.leaves(state.variables):
    leaf.delete()
  assert not any(x.is_deleted() for x in jax.tree.leaves(plain_task.original))


def test_a_split_of_weight_0_is_not_read(plain_task):
  class Unread:
    def __len__(self):
      raise AssertionError('read')

    take = __len__

  unlearning = recipes.finetune(js_weight=0.0)
  task = plain_task._replace(forget=Unread())
  state = method.begin(
    unlearning,
    task,
    task.original['params'],
    selectors.nothing()(KEY, task),
    KEY,
  )
  ((_, metrics),) = method.fine_tune(
    unlearning, task, state, KEY, num_steps=1, batch_size=4
  )
  assert metrics.keys() == {
    'loss',
    'retain/cross_entropy',
    'retain/accuracy',
  }


def test_without_an_objective_nothing_is_fine_tuned(plain_task):
  for objective in (None, {}, {'retain': {'cross_entropy': 0}}):
    unlearning = recipes.random_k()._replace(objective=objective)
    ((state, metrics),) = steps(unlearning, plain_task, 9)
    assert metrics == {} and state.step.item() == 0


def test_a_weight_may_follow_a_schedule(plain_task):
  unlearning = recipes.finetune()._replace(
    objective={
      'retain': {'cross_entropy': optax.linear_schedule(1.0, 0.0, 2)},
      'forget': {'cross_entropy': 0.5},
    }
  )
  _, *tuned = steps(unlearning, plain_task, 4)
  for (_, metrics), weight in zip(tuned, (1.0, 0.5, 0.0, 0.0), strict=True):
    np.testing.assert_allclose(
      metrics['loss'],
      weight * metrics['retain/cross_entropy']
      + 0.5 * metrics['forget/cross_entropy'],
      rtol=1e-5,
    )


def test_a_loss_of_ones_own_with_a_teacher_of_ones_own(plain_task):
  seen = []

  def distance(logits, label, context):
    # In the step it is a dict; to go through it before would ask for all.
    if isinstance(context.teachers, dict):
      seen.append(set(context.teachers))
    return jnp.sum((logits - context.teachers['blank']) ** 2, -1)

  def teachers(key, task):
    del key
    blank = jax.tree.map(jnp.zeros_like, task.original)
    return {'blank': blank, 'unused': None}

  task = plain_task._replace(
    forget={k: v[:4] for k, v in plain_task.forget.items()}
  )
  unlearning = method.UnlearningMethod(
    select=selectors.nothing(),
    perturb=perturbers.identity(),
    objective={'forget': {distance: 1.0}},
    teachers=teachers,
    tx=optax.sgd(1e-3),
  )
  _, (_, metrics) = steps(unlearning, task)
  logits, _ = task.model.apply(
    task.original, jnp.asarray(task.forget['image']), False
  )
  np.testing.assert_allclose(
    metrics['forget/distance'], (logits**2).sum(-1).mean(), rtol=1e-5
  )
  assert seen == [{'blank'}]


def test_trainable_is_what_may_move(plain_task):
  def classifier(task, selection):
    del selection
    return {
      name: jax.tree.map(lambda _, n=name: jnp.array(n == 'second'), x)
      for name, x in task.original['params'].items()
    }

  unlearning = recipes.finetune(learning_rate=0.1)
  for trainable, moving in (
    ('everything', {'first', 'second', 'temperature'}),
    ('selected', set()),
    (classifier, {'second'}),
  ):
    *_, (state, _) = steps(unlearning._replace(trainable=trainable), plain_task)
    old, new = plain_task.original['params'], state.variables['params']
    moved = {
      name
      for name in old
      if not all(
        np.array_equal(x, y)
        for x, y in zip(
          *map(jax.tree.leaves, (old[name], new[name])), strict=True
        )
      )
    }
    assert moved == moving


@pytest.mark.parametrize(
  ('change', 'sentence'),
  [
    ({'trainable': 'all'}, "'everything', 'selected' or a function, not 'all'"),
    ({'batch_stats': 'train'}, "'retain' or 'frozen', not 'train'"),
    (
      {'objective': {'test': {'cross_entropy': 1.0}}},
      "retain and forget, not on 'test'",
    ),
    ({'objective': {'retain': {'ce': 1.0}}}, "no loss 'ce'"),
    (
      {'teachers': lambda key, task: {'first': None, 'second': None}},
      "js_to_original needs a teacher 'original'; the method has first, sec",
    ),
    ({'teachers': lambda key, task: {}}, 'the method has none'),
  ],
)
def test_what_is_unknown_is_refused(plain_task, change, sentence):
  with pytest.raises(ValueError, match=sentence):
    steps(recipes.finetune()._replace(**change), plain_task)


def test_a_loss_may_go_through_all_the_teachers_of_the_method(plain_task):
  def spread(logits, label, context):
    return sum(
      jnp.sum((logits - x) ** 2, -1) for x in context.teachers.values()
    )

  def teachers(key, task):
    del key
    blank = jax.tree.map(jnp.zeros_like, task.original)
    return {'blank': blank, 'original': task.original}

  unlearning = recipes.finetune()._replace(
    objective={'forget': {spread: 1.0}}, teachers=teachers
  )
  task = plain_task._replace(
    forget={k: v[:4] for k, v in plain_task.forget.items()}
  )
  _, (_, metrics) = steps(unlearning, task)
  logits, _ = task.model.apply(
    task.original, jnp.asarray(task.forget['image']), False
  )
  np.testing.assert_allclose(
    metrics['forget/spread'], (logits**2).sum(-1).mean(), rtol=1e-5
  )


def test_the_parts_of_a_method_see_sources_whose_arrays_go_by_name(plain_task):
  seen = []

  def select(key, task):
    seen.append(task.forget['label'].shape)
    return selectors.nothing()(key, task)

  def trainable(task, selection):
    seen.append(task.forget['label'].shape)
    return selection.mask

  weight = np.arange(12) < 9
  task = plain_task._replace(forget={**plain_task.forget, 'weight': weight})
  unlearning = recipes.finetune()._replace(select=select, trainable=trainable)
  steps(unlearning, task)
  assert seen == [(9,), (9,)]


def test_a_batch_size_below_1_is_refused(plain_task):
  with pytest.raises(ValueError, match='one example, not 0'):
    list(
      method.unlearn(
        recipes.finetune(), plain_task, KEY, num_steps=1, batch_size=0
      )
    )
