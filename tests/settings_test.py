import jax.numpy as jnp
import pytest

from configs import common, digits_topk, resnet18_randomk, resnet18_topk
from jaxunlearn import settings
from jaxunlearn.errors import InputError


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


def one_row(**row):
  return config(recipes={'row': row})


def test_the_configs_pass():
  for made in (
    digits_topk.get_config(),
    resnet18_topk.get_config(),
    resnet18_topk.get_config('scalars'),
    resnet18_randomk.get_config(),
  ):
    settings.check(made)
    assert settings.rows(made)


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


@pytest.mark.parametrize(
  ('row', 'words'),
  [
    ({}, 'recipes.row.name is None'),
    ({'name': 'topk'}, r'did you mean top_k\?'),
    ({'name': 'top_k', 'factr': 1}, r"no setting 'factr'; did you mean factor"),
    ({'name': 'top_k', 'k': -1}, 'recipes.row: k = -1 is below 0'),
    ({'name': 'top_k', 'k': 'many'}, "row.k is 'many', but must be a whole"),
    ({'name': 'top_k', 'k': 2.7}, 'recipes.row.k is 2.7, but must be a whole'),
    ({'name': 'top_k', 'k': True}, 'row.k is True, but must be a whole'),
    ({'name': 'top_k', 'num_examples': 1.5}, 'row.num_examples is 1.5'),
    ({'name': 'top_k', 'per_example': 'no'}, 'per_example is .* True or False'),
    ({'name': 'top_k', 'per_example': 1}, 'per_example is 1.* True or False'),
    ({'name': 'top_k', 'augment': 'no'}, 'row.augment is .* True or False'),
    ({'name': 'top_k', 'factor': '0.1'}, "row.factor is '0.1'.* a number"),
    ({'name': 'top_k', 'factor': True}, 'row.factor is True.* a number'),
    ({'name': 'top_k', 'loss': ['x']}, 'row.loss is .*must be text'),
    ({'name': 'top_k', 'seed': True}, 'row.seed is True.* a whole number'),
    ({'name': 'top_k', 'stop': ['epochs']}, 'row.stop is .* must be text'),
    (
      {'name': 'top_k', 'augment': True, 'batch_stats': 'frozen'},
      'augment = True, which has no effect',
    ),
    ({'name': 'top_k', 'over': 'layers'}, 'recipes.row: top_k selects over'),
    ({'name': 'random_k', 'fraction': 2.0}, 'recipes.row: fraction lies'),
    ({'name': 'top_k', 'epochs': -1}, 'recipes.row.epochs is -1'),
    ({'name': 'top_k', 'stop': 'similr'}, r'did you mean similar\?'),
    ({'name': 'top_k', 'trainable': 'all'}, 'recipes.row.trainable'),
    ({'name': 'finetune', 'trainable': 'selected'}, "no setting 'trainable'"),
    ({'name': 'top_k', 'factor': float('inf')}, 'must be finite'),
    ({'name': 'top_k', 'js_weight': float('nan')}, 'must be finite'),
  ],
)
def test_a_wrong_row_is_named(row, words):
  with pytest.raises(InputError, match=words):
    settings.rows(one_row(**row))


@pytest.mark.parametrize(
  ('key', 'value'),
  [
    ('trainable', 'all'),
    ('batch_stats', 'thawed'),
    ('stop', 'similr'),
    ('augment', 'no'),
    ('epochs', 1.5),
    ('learning_rate', '0.1'),
  ],
)
def test_what_rows_share_is_checked_whatever_the_rows(key, value):
  made = config(
    recipes={'row': {'name': 'finetune'}}, **{f'unlearn__{key}': value}
  )
  with pytest.raises(InputError, match=f'^unlearn.{key} is '):
    settings.rows(made)


def test_a_whole_number_is_a_number():
  (row,) = settings.rows(one_row(name='top_k', factor=-2, learning_rate=1))
  assert row.settings['factor'] == -2


@pytest.mark.parametrize('recipe', ['top_k', 'random_k', 'random_top_k'])
def test_a_row_may_perturb_nothing(recipe):
  assert settings.rows(one_row(name=recipe, perturb='identity'))


@pytest.mark.parametrize('recipe', ['top_k', 'finetune'])
def test_an_unknown_key_lists_each_name_once(recipe):
  with pytest.raises(InputError, match='there are ') as caught:
    settings.rows(one_row(name=recipe, zzz=1))
  names = str(caught.value).partition('there are ')[2].strip('.').split(', ')
  assert 'batch_stats' in names and len(names) == len(set(names))


@pytest.mark.parametrize('name', ['original', 'a/b', '', 'a b', 'é', 'x' * 99])
def test_a_row_is_named_as_a_folder_can_be(name):
  with pytest.raises(InputError, match='cannot be the name of a row'):
    settings.rows(config(recipes={name: {'name': 'top_k'}}))


def test_a_row_that_is_no_table_is_refused():
  with pytest.raises(InputError, match=r'recipes\.row must be a dict'):
    settings.rows(config(recipes={'row': 5}))


def test_a_row_goes_before_unlearn_and_that_before_the_recipe():
  made = one_row(name='top_k', epochs=7)
  made.unlearn.learning_rate = 0.5
  (row,) = settings.rows(made)
  assert row.settings['epochs'] == 7
  assert row.settings['learning_rate'] == 0.5
  assert row.settings['k'] == 45
  assert row.recipe == 'top_k'


def test_rows_keep_their_order():
  names = [row.name for row in settings.rows(digits_topk.get_config())]
  assert names == ['finetune', 'top_k', 'random_k', 'random_top_k']


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
