"""Probes asked in whole runs, on a few digits."""

import functools
import io
import json

import numpy as np
import pytest
from rich.console import Console

from configs import common
from jaxunlearn import experiment, fingerprint, probing
from jaxunlearn.errors import InputError
from jaxunlearn.progress import Progress
from jaxunlearn.report import words

ROWS = {
  'random_k': {'name': 'random_k', 'factor': -2.0},
  'retrained_again': {'name': 'retrain'},
  'finetune_all': {'name': 'finetune_all'},
  'bad': {'name': 'random_k', 'factor': 1e38},
}
REFERENCES = ('original', 'retrained', 'retrained_again', 'finetune_all')


def config(rows=ROWS, **spd_gan):
  made = common.get_config()
  made.mesh.data = 1
  made.data.num_train, made.data.num_test = 120, 40
  made.model.width = 2
  made.train.epochs, made.train.batch_size = 8, 40
  made.unlearn.epochs, made.unlearn.batch_size = 1, 40
  made.recipes = common.rows(rows)
  made.probes = common.rows(
    {'spd_gan': {'num_steps': 4, 'width': 2, **spd_gan}}
  )
  return made.lock()


def run(made, workdir):
  said = io.StringIO()
  progress = Progress(Console(file=said, width=200))
  # As a cell of a matrix, in which the row that fails stops no other.
  report = experiment._run(
    made, workdir, progress, noted=lambda: False, go_on=True
  )
  return report, said.getvalue()


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('probed')
  return workdir, *run(config(), workdir)


def test_every_model_that_was_made_has_its_degree(finished):
  workdir, report, _ = finished
  for name, values in report['models'].items():
    if name == 'bad':
      assert values['probes'] == {}
      continue
    found = values['probes']['spd_gan']
    assert found['degree'] == pytest.approx(
      found['accuracy_original'] - found['accuracy_judged']
    )
    again = name == 'retrained_again'
    assert found['against'] == ('retrained' if again else 'original')
    with np.load(workdir / f'probes/spd_gan/{name}.npz') as shown:
      image, perturbed = shown['image'], shown['perturbed']
      assert image.shape == perturbed.shape == shown['noise'].shape
      assert len(image) == len(shown['label']) == 8
      assert perturbed.min() >= 0 and perturbed.max() <= 1


def test_the_original_against_itself_has_exactly_0(finished):
  _, report, _ = finished
  assert report['models']['original']['probes']['spd_gan']['degree'] == 0


def test_the_references_are_there_and_each_is_another_model(finished):
  workdir, report, _ = finished
  models = report['models']
  lines = (workdir / 'metrics.jsonl').read_text().splitlines()
  steps = {line['model']: line['step'] for line in map(json.loads, lines)}
  # An epoch of all 120 examples is one step longer than one of retain's 108.
  assert (steps['finetune_all'], steps['random_k']) == (3, 2)
  assert set(REFERENCES) <= set(models)
  hashes = {models[name]['checkpoint_sha256'] for name in REFERENCES}
  assert len(hashes) == 4
  assert models['retrained_again']['selected'] is None
  assert models['finetune_all']['selected']['scalars'] == 0


def test_the_judges_are_unchanged(tmp_path, monkeypatch):
  found = []
  judge = probing.spd_gan.judge

  def noted(model, variables):
    found.append((variables, fingerprint.sha256(variables)))
    return judge(model, variables)

  monkeypatch.setattr(probing.spd_gan, 'judge', noted)
  run(config({'random_k': ROWS['random_k']}), tmp_path)
  assert len(found) == 6
  for variables, before in found:
    assert fingerprint.sha256(variables) == before


def test_a_second_start_asks_nothing_again(finished, monkeypatch):
  workdir, report, said = finished
  assert 'random_k: asking spd_gan, against original' in said
  monkeypatch.setattr(probing, '_spd_gan', None)
  again, said = run(config(), workdir)
  assert again['models'] == report['models']
  assert 'asking' not in said


def test_of_a_row_that_another_config_left_nothing_new_is_asked(tmp_path):
  unasked = config({'theirs': ROWS['random_k']}).copy_and_resolve_references()
  with unasked.unlocked():
    unasked.probes = {}
  run(unasked, tmp_path)
  report, said = run(config({'ours': ROWS['random_k']}), tmp_path)
  asked = {
    name for name, values in report['models'].items() if values['probes']
  }
  assert asked == {'original', 'retrained', 'ours'}
  assert 'theirs: asking' not in said
  report, _ = run(config({'theirs': ROWS['random_k']}), tmp_path)
  assert all(values['probes'] for values in report['models'].values())


def test_a_change_to_what_was_asked_is_refused(finished):
  workdir, *_ = finished
  with pytest.raises(InputError, match=r'spd_gan\.eta is 0\.5, but .* 0\.03'):
    run(config(eta=0.5), workdir)


def test_an_answer_about_another_model_is_asked_again(finished, tmp_path):
  workdir, *_ = finished
  path = workdir / 'probes/spd_gan/random_k.json'
  before = path.read_text()
  answer = json.loads(before)
  answer['made_from']['random_k'] = 'another'
  path.write_text(json.dumps(answer))
  _, said = run(config(), workdir)
  assert said.count('asking') == 1
  assert path.read_text() == before


def test_an_answer_of_another_machine_than_the_model_says_so(tmp_path):
  made = config({'random_k': ROWS['random_k']})
  run(made, tmp_path)
  (tmp_path / 'probes/spd_gan/original.json').unlink()
  path = tmp_path / 'original/result.json'
  result = json.loads(path.read_text())
  result['environment']['cores'] = 99
  path.write_text(json.dumps(result))
  report, _ = run(made, tmp_path)
  (change,) = report['models']['original']['probes']['spd_gan']['changes']
  assert change['what']['cores'][0] == 99
  assert 'spd_gan of original was made elsewhere than original (' in ' '.join(
    words.remarks(report)
  )


def test_a_generator_that_diverges_is_reported_and_gives_no_degree(
  tmp_path, monkeypatch
):
  finish = probing.spd_gan.finish

  @functools.wraps(finish)
  def diverging(*args, **kwargs):
    gan = finish(*args, **kwargs)
    return gan._replace(history={'loss': np.array([1.0, np.nan])})

  monkeypatch.setattr(probing.spd_gan, 'finish', diverging)
  rows = {'random_k': ROWS['random_k']}
  report, _ = run(config(rows), tmp_path)
  found = report['models']['random_k']['probes']['spd_gan']
  assert found['degree'] is None
  assert 'the generator diverged' in found['failed']


@pytest.mark.parametrize(
  ('settings', 'sentence'),
  [
    ({'steps': 3}, r"no setting 'steps'; did you mean num_steps\?"),
    ({'num_steps': 1.5}, r'num_steps is 1\.5, but must be a whole number'),
    ({'num_steps': 0}, 'num_steps is 0, but must be from 1'),
    ({'max_noise': 'much'}, "max_noise is 'much', but must be a number"),
    ({'max_noise': 3.0}, 'max_noise is 3'),
  ],
)
def test_a_wrong_setting_of_a_probe_is_named(tmp_path, settings, sentence):
  with pytest.raises(InputError, match=sentence):
    probing.check(config(**settings))


def test_an_unknown_probe_is_named():
  made = config().unlock()
  made.probes = common.rows({'spdgan': {}})
  with pytest.raises(InputError, match=r'did you mean spd_gan\?'):
    probing.check(made)
