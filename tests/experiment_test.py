"""Whole runs on a few digits, in this process."""

import gc
import io
import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from configs import common
from jaxunlearn import course, experiment, loop, once, problem
from jaxunlearn.attempt import Attempt
from jaxunlearn.checkpoints import Checkpoints
from jaxunlearn.clock import Clock
from jaxunlearn.errors import Diverged, InputError
from jaxunlearn.models import adapters
from jaxunlearn.progress import Progress
from jaxunlearn.types import State
from jaxunlearn.workdir import Workdir

pytestmark = pytest.mark.usefixtures('compiled_in_a_hurry')

ROW = {'name': 'random_k'}


def small(rows):
  config = common.get_config()
  config.mesh.data = 1
  config.data.num_train, config.data.num_test = 120, 40
  config.model.width = 2
  config.train.epochs, config.train.batch_size = 2, 40
  config.unlearn.epochs, config.unlearn.batch_size = 1, 40
  config.recipes = common.rows(rows)
  return config


def run(workdir, rows, **changes):
  config = small(rows)
  for name, value in changes.items():
    section, _, key = name.partition('__')
    if key:
      config[section][key] = value
    else:
      config[section] = value
  said = io.StringIO()
  progress = Progress(Console(file=said, width=200))
  report = experiment.run(config.lock(), workdir, progress)
  return report, said.getvalue()


def test_mislabelled_examples_are_held_against_both_labels(tmp_path):
  report, _ = run(
    tmp_path,
    {'row': ROW},
    forget__kind='mislabelled',
    forget__fraction=0.25,
    train__epochs=30,
  )
  assert report['request']['num_forget'] == 30
  for values in report['models'].values():
    assert values['accuracy']['forget_true_label'] is not None
  retrained = report['models']['retrained']['accuracy']
  # It never saw the wrong labels.
  assert retrained['forget_true_label'] > retrained['forget'] + 0.2


def test_a_run_holds_of_a_model_what_scaling_says(tmp_path, monkeypatch):
  def held():
    # Two arrays may share a buffer.
    gc.collect()
    parts = [y.data for x in jax.live_arrays() for y in x.addressable_shards]
    return sum({x.unsafe_buffer_pointer(): x.nbytes for x in parts}.values())

  before, found = held(), []
  monkeypatch.setattr(
    Progress, 'epoch', lambda self, line: found.append(held() - before)
  )
  row = {'name': 'top_k', 'k': 20, 'over': 'scalars', 'js_weight': 0.0}
  report, _ = run(
    tmp_path,
    {'row': row},
    reference='none',
    model__width=64,
    unlearn__epochs=2,
  )
  size = 4 * report['models']['row']['selected']['total_scalars']
  _, training, _, tuning = found
  # Itself, two moments, and what it was an epoch before; where it is unlearned
  # the original, too, and a byte for each scalar that says whether it moves.
  assert 4 * size < training < 4.2 * size
  assert 5.25 * size < tuning < 5.45 * size


def test_the_original_depends_on_no_request(tmp_path):
  one, _ = run(tmp_path / '1', {'row': ROW}, reference='none')
  other, _ = run(
    tmp_path / '2', {'row': ROW}, reference='none', forget__fraction=0.2
  )
  hashes = [r['models']['original']['checkpoint_sha256'] for r in (one, other)]
  assert hashes[0] == hashes[1]


def test_many_devices_give_the_report_of_one(tmp_path):
  rows = {'row': {'name': 'top_k', 'k': 50, 'over': 'scalars'}}
  probes = common.rows({'spd_gan': {'num_steps': 2, 'width': 2}})
  one, _ = run(tmp_path / '1', rows, reference='none', probes=probes)
  # The original of the first, for other roundings select other entries.
  many, said = run(
    tmp_path / '8',
    rows,
    reference='none',
    probes=probes,
    original__checkpoint=str(tmp_path / '1' / 'original'),
    mesh__data=0,
  )
  assert '8 devices share each batch' in said
  first, second = (
    np.load(tmp_path / name / 'unlearned' / 'row' / 'selection.npz')
    for name in '18'
  )
  chex.assert_trees_all_equal(dict(first), dict(second))
  for name, values in one['models'].items():
    found = many['models'][name]
    for split in ('forget', 'retain', 'test'):
      assert found['accuracy'][split] == pytest.approx(
        values['accuracy'][split], abs=0.05
      )
    assert found['probes']['spd_gan']['noise_l2'] == pytest.approx(
      values['probes']['spd_gan']['noise_l2'], rel=0.05
    )


def test_a_class_is_forgotten(tmp_path):
  report, _ = run(
    tmp_path, {'row': ROW}, forget__kind='class', forget__classes=(3, 7)
  )
  assert report['models']['retrained']['accuracy']['forget'] == 0
  assert report['models']['original']['accuracy']['forget_true_label'] is None


def test_fine_tuning_stops_when_similar_to_the_original(tmp_path):
  rows = {
    'at_once': {**ROW, 'stop': 'similar', 'threshold': 0.0, 'epochs': 3},
    'never': {**ROW, 'stop': 'similar', 'threshold': 1.0, 'epochs': 3},
  }
  models = run(tmp_path, rows)[0]['models']
  assert models['at_once']['stopped'] == 'similar'
  assert models['at_once']['epochs'] == 1
  assert models['never']['stopped'] == 'epochs'
  assert models['never']['epochs'] == 3


def test_fine_tuning_stops_when_converged(tmp_path):
  row = {**ROW, 'factor': 0.0, 'stop': 'converged', 'epochs': 9}
  # So small a rate that accuracy stays what it was.
  rows = {'row': {**row, 'learning_rate': 1e-9, 'threshold': 0.5}}
  values = run(tmp_path, rows)[0]['models']['row']
  assert values['stopped'] == 'converged'
  assert values['converged_epoch'] == 1
  assert values['epochs'] == 3


def test_acceleration_counts_up_to_convergence(tmp_path):
  rows = {'row': {'name': 'finetune', 'epochs': 3, 'learning_rate': 1e-9}}
  models = run(tmp_path, rows, train__epochs=40)[0]['models']
  row, retrained = models['row'], models['retrained']
  assert row['converged_epoch'] == 1
  assert 1 < retrained['converged_epoch'] < 40
  assert row['seconds']['total'] == pytest.approx(
    sum(row['seconds'][k] for k in ('select', 'perturb', 'fine_tune'))
  )
  assert row['acceleration'] > 1
  assert retrained['acceleration'] == 1


def test_a_dead_network_is_reported_as_dead(tmp_path):
  rows = {
    'dead': {'name': 'top_k', 'k': 8, 'over': 'leaves', 'factor': -1.0},
    'alive': {'name': 'top_k', 'k': 1, 'over': 'leaves', 'factor': 0.1},
  }
  rows['dead']['k'] = 5
  models = run(tmp_path, rows)[0]['models']
  assert models['dead']['dead'] == {
    'leaves_with_gradient': 1,
    'total_leaves': 5,
  }
  assert models['alive']['dead'] is None
  # Nor is one alive that has gradients, but no eye for the image.
  path = tmp_path / 'unlearned/alive/logits.npz'
  with np.load(path) as found:
    np.savez(path, **{k: np.ones_like(v) for k, v in found.items()})
  report, _ = run(tmp_path, rows)
  assert report['models']['alive']['dead'] == {'same_logits': True}
  page = (tmp_path / 'report.md').read_text()
  assert 'alive (the same logits for every image)' in page


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good(tmp_path):
  config = small(common.rows({'row': ROW}))
  fixed, work = problem.prepare(config), Workdir(tmp_path)
  said = Progress(Console(file=io.StringIO()))
  image = fixed.test.image[:1]
  init = once.jit(fixed.model.init)
  models = [init(jax.random.key(i), image) for i in range(3)]
  losses = (1.0, 1.0, float('nan'))
  steps = (
    (State(model, (), {}, 0, None), {'loss': jnp.asarray(loss)})
    for model, loss in zip(models, losses, strict=True)
  )
  run = problem.Run(config, fixed, work, {}, said)
  start = State(models[0], (), {}, jnp.array(0), jax.random.key(0))
  with pytest.raises(
    Diverged, match=r'original diverged: the loss is nan in epoch 3; lower t'
  ):
    course.follow(
      run,
      Attempt(run, 'original', Checkpoints(tmp_path / 'c', {}), start, Clock()),
      steps,
      begun=False,
      epochs=3,
      epoch_steps=1,
      batch_size=4,
      resident=True,
      watch=False,
    )
  kept = adapters.restore(tmp_path / 'last_good/original', fixed.like())
  chex.assert_trees_all_equal(kept, models[1])


def test_a_perturbation_that_overflows_leaves_no_good_model(tmp_path):
  for epochs in (0, 1):
    row = {**ROW, 'factor': 1e38, 'epochs': epochs}
    with pytest.raises(Diverged, match=r'row diverged: .* or its factor\.$'):
      run(tmp_path, {'row': row})
  assert not (tmp_path / 'last_good').exists()


def test_an_original_that_diverges_is_made_again(tmp_path):
  with pytest.raises(Diverged, match=r'original diverged: .* lower train'):
    run(
      tmp_path,
      {'row': ROW},
      # Each step multiplies every parameter by about -1e6.
      train__optimizer='adamw',
      train__learning_rate=1e3,
      train__weight_decay=1e3,
      train__epochs=9,
    )
  assert not (tmp_path / 'original').exists()
  # Trained again, nothing of it is left over.
  run(tmp_path, {'row': ROW})
  assert not (tmp_path / 'last_good').exists()


def test_a_row_is_tied_to_its_original(tmp_path):
  run(tmp_path / 'other', {'row': ROW}, train__seed=1)
  run(tmp_path / 'w', {'row': ROW})
  shutil.rmtree(tmp_path / 'w/original')
  shutil.copytree(tmp_path / 'other/original', tmp_path / 'w/original')
  result = tmp_path / 'w/original/result.json'
  result.write_text(
    result.read_text().replace('"train.seed": 1', '"train.seed": 0')
  )
  with pytest.raises(InputError, match='was made from another original'):
    run(tmp_path / 'w', {'row': ROW})


def test_a_workdir_as_checkpoint_brings_its_normalisation(tmp_path):
  run(tmp_path / 'a', {'row': ROW})
  again = {'data__seed': 5, 'original__checkpoint': str(tmp_path / 'a')}
  second, said = run(tmp_path / 'b', {'row': ROW}, **again)
  assert 'original: accuracy on' in said
  made_from = [
    json.loads((tmp_path / w / 'original/result.json').read_text())['made_from']
    for w in 'ab'
  ]
  assert made_from[0]['data.mean'] == made_from[1]['data.mean']
  assert second['models']['original']['epochs'] is None
  with pytest.raises(InputError, match='not those that original'):
    run(
      tmp_path / 'c',
      {'row': ROW},
      data__mean=(0.5,),
      data__std=(0.5,),
      **again,
    )
  with pytest.raises(InputError, match='flips labels before training'):
    run(tmp_path / 'd', {'row': ROW}, forget__kind='mislabelled', **again)
  with pytest.raises(InputError, match='lies in the workdir'):
    run(tmp_path / 'a', {'row': ROW}, original__checkpoint=str(tmp_path / 'a'))


def test_no_epochs_means_perturbing_alone(tmp_path):
  rows = {'row': {**ROW, 'factor': 0.0, 'epochs': 0}}
  models = run(tmp_path, rows)[0]['models']
  row, original = models['row'], models['original']
  assert row['checkpoint_sha256'] == original['checkpoint_sha256']
  assert row['epochs'] == 0
  assert row['stopped'] is None


def test_equal_settings_give_equal_models_whatever_the_row_is_called(tmp_path):
  models = run(tmp_path, {'one': ROW, 'other': ROW})[0]['models']
  assert (
    models['one']['checkpoint_sha256'] == models['other']['checkpoint_sha256']
  )
  assert (
    models['original']['checkpoint_sha256']
    != models['retrained']['checkpoint_sha256']
  )


def test_bfloat16_augmentation_and_schedules_run(tmp_path):
  report, _ = run(
    tmp_path,
    {'row': {**ROW, 'augment': True}},
    model__dtype='bfloat16',
    train__augment=True,
    train__schedule='cosine',
    train__warmup_epochs=1,
    data__mean=(0.5,),
    data__std=(0.25,),
  )
  assert report['models']['row']['accuracy']['retain'] is not None


def test_many_steps_in_one_call_give_the_same_report(tmp_path, monkeypatch):
  one, _ = run(tmp_path / 'one', {'row': ROW})
  monkeypatch.setattr(
    loop, 'steps_per_call', lambda steps, resident: min(3, steps)
  )
  many, _ = run(tmp_path / 'many', {'row': ROW})
  for name in one['models']:
    ours, theirs = one['models'][name], many['models'][name]
    assert ours['epochs'] == theirs['epochs']
    for split in ('forget', 'retain', 'test'):
      # One example of 12, 108 or 40 may change sides by rounding.
      assert ours['accuracy'][split] == pytest.approx(
        theirs['accuracy'][split], abs=0.1
      )


def test_the_device_is_the_one_that_each_model_was_made_on(tmp_path):
  run(tmp_path, {'one': ROW})
  path = tmp_path / 'unlearned/one/result.json'
  result = json.loads(path.read_text())
  path.write_text(json.dumps({**result, 'device': 'NVIDIA H200'}))
  report, _ = run(tmp_path, {'one': ROW, 'two': ROW})
  assert report['environment']['device'] == 'cpu and NVIDIA H200'


def test_an_original_of_another_machine_stays_one(tmp_path):
  run(tmp_path / 'a', {'row': ROW}, reference='none')
  path = tmp_path / 'a/original/result.json'
  result = json.loads(path.read_text())
  result['environment']['cores'] = 99
  result['environment']['jax'] = '0.1'
  path.write_text(json.dumps(result))
  report, _ = run(
    tmp_path / 'b',
    {'row': ROW},
    reference='none',
    original__checkpoint=str(tmp_path / 'a'),
  )
  (change,) = report['models']['row']['changes']
  assert change['what']['cores'][0] == 99
  assert report['environment']['jax'] == f'0.1 and {jax.__version__}'


def test_an_original_that_says_nothing_of_itself_is_refused(tmp_path):
  run(tmp_path / 'a', {'row': ROW}, reference='none')
  for content in ('[]', '{"made_from": {"a": 1}}', '{}'):
    (tmp_path / 'a/original/result.json').write_text(content)
    with pytest.raises(InputError, match='says nothing of how that original'):
      run(
        tmp_path / 'b',
        {'row': ROW},
        reference='none',
        original__checkpoint=str(tmp_path / 'a/original'),
      )
  assert not (tmp_path / 'b').exists()


def test_a_checkpoint_that_was_made_again_is_another(tmp_path):
  run(tmp_path / 'a', {'row': ROW})
  given = {'original__checkpoint': str(tmp_path / 'a')}
  run(tmp_path / 'b', {'row': ROW}, **given)
  (tmp_path / 'a').rename(tmp_path / 'moved')
  moved = {'original__checkpoint': str(tmp_path / 'moved')}
  _, said = run(tmp_path / 'b', {'row': ROW}, **moved)
  assert said.count('done before') == 3
  run(tmp_path / 'a', {'row': ROW}, train__seed=7)
  with pytest.raises(InputError, match=r'^original\.checkpoint_sha256 is '):
    run(tmp_path / 'b', {'row': ROW}, **given)
