import pytest

from configs import digits_topk
from jaxunlearn import recipes, rows
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
    rows.rows(one_row(**row))


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
    rows.rows(made)


def test_a_whole_number_is_a_number():
  (row,) = rows.rows(one_row(name='top_k', factor=-2, learning_rate=1))
  assert row.settings['factor'] == -2


@pytest.mark.parametrize('recipe', ['top_k', 'random_k', 'random_top_k'])
def test_a_row_may_perturb_nothing(recipe):
  assert rows.rows(one_row(name=recipe, perturb='identity'))


@pytest.mark.parametrize('recipe', ['top_k', 'finetune'])
def test_an_unknown_key_lists_each_name_once(recipe):
  with pytest.raises(InputError, match='there are ') as caught:
    rows.rows(one_row(name=recipe, zzz=1))
  names = str(caught.value).partition('there are ')[2].strip('.').split(', ')
  assert 'batch_stats' in names and len(names) == len(set(names))


@pytest.mark.parametrize('name', ['original', 'a/b', '', 'a b', 'é', 'x' * 99])
def test_a_row_is_named_as_a_folder_can_be(name):
  with pytest.raises(InputError, match='cannot be the name of a row'):
    rows.rows(config(recipes={name: {'name': 'top_k'}}))


@pytest.mark.parametrize('name', ['eu_5_leaves', 'leaves'])
def test_a_row_counts_what_its_name_says(name):
  row = {'name': 'eu_k', 'over': 'leaves'}
  assert rows.rows(config(recipes={name: row}))
  with pytest.raises(InputError, match=f'^recipes.{name} counts layers, and n'):
    rows.rows(config(recipes={name: row | {'over': 'layers'}}))
  # Of a recipe that counts nothing a name may say anything.
  assert rows.rows(config(recipes={name: {'name': 'random_k'}}))


def test_a_row_that_counts_layers_is_named_so():
  row = {'name': 'cf_k', 'over': 'layers'}
  with pytest.raises(InputError, match='such as cf_5_layers'):
    rows.rows(config(recipes={'cf_5': row}))
  assert rows.rows(config(recipes={'cf_5_layers': row}))


def test_a_row_that_is_no_table_is_refused():
  with pytest.raises(InputError, match=r'recipes\.row must be a dict'):
    rows.rows(config(recipes={'row': 5}))


def test_a_row_goes_before_unlearn_and_that_before_the_recipe():
  made = one_row(name='top_k', epochs=7)
  made.unlearn.learning_rate = 0.5
  (row,) = rows.rows(made)
  assert row.settings['epochs'] == 7
  assert row.settings['learning_rate'] == 0.5
  assert row.settings['k'] == 45
  assert row.recipe == 'top_k'


def test_rows_keep_their_order():
  names = [row.name for row in rows.rows(digits_topk.get_config())]
  assert names == ['finetune', 'top_k', 'random_k', 'random_top_k']


def test_one_more_training_takes_a_seed_and_nothing_else():
  (row,) = rows.rows(one_row(name='retrain', seed=4))
  assert row.method is None and row.forgets
  assert row.settings == {'seed': 4}
  with pytest.raises(InputError, match="no setting 'epochs'"):
    rows.rows(one_row(name='retrain', epochs=3))


def test_fine_tuning_on_everything_forgets_nothing():
  (row,) = rows.rows(one_row(name='finetune_all', learning_rate=0.5))
  assert not row.forgets
  assert row.method.objective.splits == ('retain',)
  with pytest.raises(InputError, match="no setting 'js_weight'"):
    rows.rows(one_row(name='finetune_all', js_weight=1.0))


@pytest.mark.parametrize('recipe', recipes.__all__)
def test_rows_share_what_is_compiled(recipe):
  one, other = (rows.rows(one_row(name=recipe))[0].method for _ in range(2))
  assert one is other


def test_rows_that_select_otherwise_share_their_step():
  one, other = (rows.rows(one_row(name='top_k', k=k))[0].method for k in (3, 4))
  assert one.select is not other.select
  assert one.tx is other.tx
  assert one.objective == other.objective
  assert hash(one.objective) == hash(other.objective)
