import jax.numpy as jnp
import pytest

from configs import common, digits_topk, resnet18_randomk, resnet18_topk
from configs.paper import (
  acceleration,
  curves,
  degree,
  k_sweep,
  mixed,
  sensitivity,
  table2,
)
from jaxunlearn import matrix, rows, settings
from jaxunlearn.errors import InputError
from jaxunlearn.report import paper


def config(**changes):
  made = digits_topk.get_config().unlock()
  for name, value in changes.items():
    section, _, key = name.partition('__')
    with made.ignore_type():
      if key:
        made[section][key] = value
      else:
        made[section] = value
  return made


def test_the_configs_pass():
  for made in (
    digits_topk.get_config(),
    resnet18_topk.get_config(),
    resnet18_topk.get_config('scalars'),
    resnet18_randomk.get_config(),
    sensitivity.get_config('small'),
  ):
    settings.check(made)
    assert rows.rows(made)


@pytest.mark.parametrize(
  ('config_of', 'size', 'count'),
  [
    # Four ratios, of ResNet18 10 % three times.
    (table2, 'full', 6),
    (table2, 'small', 6),
    (degree, 'full', 6),
    (degree, 'small', 6),
    (acceleration, 'full', 18),
    (acceleration, 'small', 18),
    (mixed, 'full', 18),
    (mixed, 'small', 18),
    (k_sweep, 'full', 18),
    (k_sweep, 'small', 6),
    (curves, 'full', 4),
    (curves, 'small', 4),
  ],
)
def test_the_matrices_of_the_paper_pass(config_of, size, count):
  made = config_of.get_config(size)
  cells = matrix.cells(made)
  assert len(cells) == len(made.matrix) == count
  for own in cells.values():
    assert own.model.width == {'full': 64, 'small': 16}[size] or (
      own.model.name == 'densenet121'
    )
  assert set(made.paper) <= {*paper.TABLES, *paper.FIGURES}


def test_the_sweep_over_k_takes_a_weight_of_the_js_term():
  for argument, weight in (('small', 0.1), ('small,0', 0.0), ('full,2', 2.0)):
    made = k_sweep.get_config(argument)
    assert {row.js_weight for row in made.recipes.values()} == {weight}


def test_the_controls_are_judged_on_request():
  plain, more = map(degree.get_config, ('small', 'small,controls'))
  assert set(more.recipes) - set(plain.recipes) == {
    *('finetune', 'top_k_js0', 'top_k_scalars'),
  }
  with pytest.raises(ValueError, match='comes controls, not control'):
    degree.get_config('small,control')


def test_a_weight_of_the_js_term_is_a_number():
  with pytest.raises(ValueError, match=r'comma of :small,low, is a number'):
    k_sweep.get_config('small,low')


def test_the_paper_has_two_sizes():
  with pytest.raises(ValueError, match=r'takes :full or :small, not :tiny\.'):
    table2.get_config('tiny')


@pytest.mark.parametrize(
  ('changes', 'words'),
  [
    ({'train__epochs': 0}, 'train.epochs is 0, but must be from 1'),
    ({'train__epochs': 2.5}, 'train.epochs is 2.5, but must be a whole'),
    ({'train__seed': -1}, 'train.seed is -1'),
    ({'train__learning_rate': float('nan')}, 'train.learning_rate is nan'),
    ({'train__learning_rate': 'fast'}, 'must be a number'),
    ({'train__optimizer': 'adamm'}, 'did you mean adam?'),
    ({'model__dtype': 'int8'}, 'there are float32, bfloat16'),
    ({'reference': 'oracle'}, 'reference is .oracle.'),
    ({'data__source': 3}, 'data.source must be text'),
    ({'data__num_train': 1.5}, 'data.num_train must be a whole number'),
    ({'data__mean': (0.5,)}, 'data.mean and data.std together'),
    ({'data__mean': (0.5,), 'data__std': (0.0,)}, 'above 0'),
    ({'data__std': (float('inf'),)}, 'finite'),
    ({'forget__classes': 3}, 'forget.classes must be a tuple'),
    ({'original__keep': 1}, 'original.keep must be True or False'),
    ({'recipes': {}}, 'config.recipes is empty'),
    ({'train__warmup_epochs': 9, 'train__epochs': 5}, 'must not exceed train'),
  ],
)
def test_a_wrong_setting_is_named(changes, words):
  with pytest.raises(InputError, match=words.replace('?', r'\?')):
    settings.check(config(**changes))


@pytest.mark.parametrize('schedule', ['constant', 'cosine'])
@pytest.mark.parametrize('optimizer', ['adam', 'adamw', 'sgd'])
def test_a_warm_up_starts_at_zero(optimizer, schedule):
  train = common.get_config().train
  train.optimizer, train.schedule, train.warmup_epochs = optimizer, schedule, 1
  tx = settings.optimizer(train, epoch_steps=10)
  params = jnp.ones(3)
  first, state = tx.update(jnp.ones(3), tx.init(params), params)
  second, _ = tx.update(jnp.ones(3), state, params)
  assert abs(first).max() == 0
  assert abs(second).max() > 0


def test_cosine_ends_at_zero():
  train = common.get_config().train
  train.optimizer, train.schedule, train.epochs = 'sgd', 'cosine', 2
  tx = settings.optimizer(train, epoch_steps=2)
  params, moves = jnp.ones(()), []
  state = tx.init(params)
  for gradient in (1.0, 0.0, 0.0, 0.0, 0.0):
    change, state = tx.update(jnp.asarray(gradient), state, params)
    moves.append(abs(float(change)))
  assert moves[0] == pytest.approx(1e-3)
  assert moves[4] == 0
