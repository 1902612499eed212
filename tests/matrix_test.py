"""Matrices of runs on a few digits."""

import io
import json
import shutil

import jax
import pytest
from rich.console import Console

from configs import common
from jaxunlearn import experiment, making, probing, report
from jaxunlearn.errors import InputError
from jaxunlearn.progress import Progress

pytestmark = pytest.mark.usefixtures('compiled_in_a_hurry')

ROWS = {
  'random_k': {'name': 'random_k'},
  'eu_2_leaves': {'name': 'eu_k', 'k': 2},
  'again': {'name': 'retrain'},
}


def config(cells, rows=ROWS, **sections):
  made = common.get_config()
  made.mesh.data = 1
  made.data.num_train, made.data.num_test = 120, 40
  made.model.width = 2
  made.train.epochs, made.train.batch_size = 2, 40
  made.unlearn.epochs, made.unlearn.batch_size = 1, 40
  made.recipes = common.rows(rows)
  made.matrix = common.rows(cells)
  made.paper = ('table2',)
  for section, changes in sections.items():
    made[section].update(changes)
  return made.lock()


def run(made, workdir):
  said = io.StringIO()
  reports = experiment.run(
    made, workdir, Progress(Console(file=said, width=200))
  )
  return reports, said.getvalue()


CELLS = {
  'ten': {'forget': {'fraction': 0.1}},
  'twenty': {'forget': {'fraction': 0.2}},
  'ten-again': {'forget': {'fraction': 0.1, 'seed': 1}, 'train': {'seed': 1}},
}


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  workdir = tmp_path_factory.mktemp('matrix')
  return workdir, *run(config(CELLS), workdir)


def test_each_cell_is_a_run_of_its_own(finished):
  workdir, reports, _ = finished
  assert list(reports) == list(CELLS)
  assert [r['request']['num_forget'] for r in reports.values()] == [12, 24, 12]
  for name, found in reports.items():
    assert list(found['models'])[2:] == list(ROWS)
    on_disk = json.loads((workdir / f'cells/{name}/report.json').read_text())
    assert on_disk == json.loads(json.dumps(found))


def test_cells_of_one_training_share_the_original(finished):
  workdir, reports, said = finished
  hashes = {
    name: found['models']['original']['checkpoint_sha256']
    for name, found in reports.items()
  }
  assert hashes['ten'] == hashes['twenty'] != hashes['ten-again']
  assert said.count('original: compiling') == 2
  (shared,) = {
    r['original']['from'] for r in (reports['ten'], reports['twenty'])
  }
  assert shared.startswith(str(workdir / 'originals'))


def test_a_second_start_repeats_no_cell(finished, monkeypatch):
  workdir, reports, _ = finished
  monkeypatch.setattr(experiment, '_run', None)
  again, said = run(config(CELLS), workdir)
  assert again == json.loads(json.dumps(reports))
  assert said.count('done before') == 3


def test_a_matrix_that_was_stopped_goes_on_where_it_was(
  finished, tmp_path, monkeypatch
):
  _, reports, _ = finished
  row, left = making.row, [4]

  def stopped(*args):
    left[0] -= 1
    if not left[0]:
      raise KeyboardInterrupt
    row(*args)

  monkeypatch.setattr(making, 'row', stopped)
  with pytest.raises(KeyboardInterrupt):
    run(config(CELLS), tmp_path)
  monkeypatch.undo()
  again, said = run(config(CELLS), tmp_path)
  for name, found in again.items():
    for model, values in found['models'].items():
      before = reports[name]['models'][model]
      assert values['checkpoint_sha256'] == before['checkpoint_sha256']
      assert values['accuracy'] == before['accuracy']
  assert 'ten, done before' in said
  assert 'cell 2 of 3: twenty\noriginal: done before' in said


def test_a_row_that_fails_says_why_and_stops_no_other(tmp_path):
  rows = {
    'bad': {'name': 'random_k', 'factor': 1e38},
    'none': {'name': 'top_k', 'k': 99},
    'good': {'name': 'random_k'},
  }
  made = config({'one': {}}, rows)
  reports, said = run(made, tmp_path)
  models = reports['one']['models']
  assert 'bad diverged' in models['bad']['failed']
  assert 'k = 99 is not between' in models['none']['failed']
  assert models['bad']['accuracy']['forget'] is None
  assert 'failed' not in models['good']
  assert 'bad: failed' in said
  page = (tmp_path / 'report.md').read_text()
  assert 'bad diverged' in page
  again, said = run(made, tmp_path)
  assert again == json.loads(json.dumps(reports))
  assert 'compiling' not in said
  # Unless what is on disk is removed.
  shutil.rmtree(tmp_path / 'cells/one/unlearned/good')
  again, said = run(made, tmp_path)
  assert again['one']['models']['good'].keys() == models['good'].keys()
  assert said.count('compiling') == 1


def test_a_cell_that_fails_says_why_and_stops_no_other(tmp_path):
  worse = {'optimizer': 'adamw', 'learning_rate': 1e3, 'weight_decay': 1e3}
  bad = {'train': {**worse, 'epochs': 9}}
  also = {**bad, 'forget': {'fraction': 0.2}}
  reports, said = run(config({'bad': bad, 'also': also, 'good': {}}), tmp_path)
  assert reports['bad'] is None and reports['good'] is not None
  # Of the same original, which is not trained in vain again.
  assert reports['also'] is None and said.count('original: compiling') == 2
  failed = json.loads((tmp_path / 'cells/bad/failed.json').read_text())
  assert failed['failed'].startswith('original diverged')
  assert 'bad: failed, original diverged' in said


def test_a_change_to_a_finished_cell_is_refused(finished):
  workdir, *_ = finished
  with pytest.raises(InputError, match=r'train\.epochs is 3, but .* 2'):
    run(config(CELLS, train={'epochs': 3}), workdir)


@pytest.mark.parametrize(
  ('name', 'changes', 'sentence'),
  [
    ('a b', {}, "'a b' cannot be the name of a cell"),
    ('a', {'forgett': {'fraction': 0.1}}, r'matrix\.a: .*forget'),
    ('a', {'train': {'epochs': 'many'}}, r'matrix\.a: '),
    ('a', {'train': {'epochs': 0}}, r'matrix\.a: train\.epochs is 0'),
    ('a', {'recipes': {'random_k': {'k': 3}}}, r'matrix\.a: .*k'),
  ],
)
def test_a_mistake_in_a_cell_is_named_before_anything_runs(
  tmp_path, name, changes, sentence
):
  with pytest.raises(InputError, match=sentence):
    run(config({'fine': {}, name: changes}), tmp_path)
  assert not (tmp_path / 'cells').exists()


def test_a_matrix_that_was_moved_goes_on(finished, tmp_path):
  workdir, reports, _ = finished
  shutil.copytree(workdir, tmp_path / 'moved')
  shutil.rmtree(tmp_path / 'moved/cells/ten/unlearned/random_k')
  cells = {'first': {'forget': {'fraction': 0.2, 'seed': 1}}, **CELLS}
  again, said = run(config(cells), tmp_path / 'moved')
  assert again['twenty'] == json.loads(json.dumps(reports['twenty']))
  before, after = (
    r['ten']['models']['random_k']['checkpoint_sha256']
    for r in (reports, again)
  )
  assert before == after
  assert said.count('original: compiling') == 0


def without(value, key):
  """JSON of before there was a setting of that name."""
  if isinstance(value, dict):
    return {
      name: without(entry, key)
      for name, entry in value.items()
      if name.rpartition('.')[2] != key
    }
  return value


def test_results_of_before_a_setting_came_are_gone_on_with(finished, tmp_path):
  workdir, reports, _ = finished
  shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
  for path in tmp_path.rglob('*.json'):
    found = json.loads(path.read_text())
    path.write_text(json.dumps(without(found, 'cache_features')))
  shutil.rmtree(tmp_path / 'cells/ten/unlearned/again')
  again, said = run(config(CELLS), tmp_path)
  assert said.count('compiling') == 1
  assert 'twenty, done before' in said
  for name, found in again.items():
    assert found['models'].keys() == reports[name]['models'].keys()
  page = (tmp_path / 'report.md').read_text()
  assert 'of which 3 finished' in page
  # That it could be seen, if it were on.
  rows = ROWS | {'eu_2_leaves': ROWS['eu_2_leaves'] | {'k': 1}}
  with pytest.raises(InputError, match=r'k is 1, but .* was made with 2'):
    run(config(CELLS, rows), tmp_path)


def test_where_data_lie_and_on_what_it_runs_is_no_other_matrix(
  finished, tmp_path
):
  shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
  for path in tmp_path.rglob('*.json'):
    content = json.loads(path.read_text())
    made = content.get('config', content)
    # As before there were such settings.
    if 'data' in made and 'mesh' in made:
      del made['data']['stream'], made['mesh']['model'], made['hosts']
      path.write_text(json.dumps(content))
  # One cell has yet to be finished.
  (tmp_path / 'cells/twenty/report.json').unlink()
  made = config(CELLS, data={'stream': 'never'}, save={'steps': 3})
  _, said = run(made, tmp_path)
  assert 'compiling' not in said
  assert 'of which 3 finished' in (tmp_path / 'report.md').read_text()


def test_originals_go_when_all_cells_are_done(tmp_path):
  cells = {
    'ten': CELLS['ten'],
    'class': {'forget': {'kind': 'class', 'classes': (3, 7)}},
  }
  rows = {'random_k': ROWS['random_k']}
  made = config(cells, rows, original={'keep': False})
  # Of another config in this workdir.
  others = tmp_path / 'originals/cnn-0/original/_METADATA'
  others.parent.mkdir(parents=True)
  others.touch()
  reports, said = run(made, tmp_path)
  assert None not in reports.values()
  assert said.count('original: compiling') == 1
  assert list(tmp_path.rglob('*/original/_METADATA')) == [others]
  again, _ = run(made, tmp_path)
  assert again == json.loads(json.dumps(reports))
  later = config(cells | {'twenty': CELLS['twenty']}, rows)
  reports, said = run(later, tmp_path)
  assert reports['twenty'] is None
  assert 'keep was False): remove that folder, and it is trained again' in said


def test_what_ran_out_of_memory_is_tried_again(tmp_path, monkeypatch):
  row = making.row

  def small(run, row):
    raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory')

  monkeypatch.setattr(making, 'row', small)
  made = config({'one': {}}, {'random_k': ROWS['random_k']})
  reports, _ = run(made, tmp_path)
  failed = reports['one']['models']['random_k']['failed']
  assert failed == 'RESOURCE_EXHAUSTED: out of memory'
  monkeypatch.setattr(making, 'row', row)
  # Not by a config that does not ask for it.
  other = config({'one': {}}, {'eu_2_leaves': ROWS['eu_2_leaves']})
  reports, _ = run(other, tmp_path)
  assert reports['one']['models']['random_k']['failed'] == failed
  reports, _ = run(made, tmp_path)
  assert 'failed' not in reports['one']['models']['random_k']


def test_a_run_for_which_memory_is_too_small_is_a_sentence(
  tmp_path, monkeypatch
):
  def small(run):
    raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory')

  monkeypatch.setattr(making, 'original', small)
  with pytest.raises(InputError, match=r'memory .* is full.*train\.batch_size'):
    run(config({}), tmp_path)


def test_another_matrix_in_a_workdir_trains_nothing_again(
  finished, tmp_path, monkeypatch
):
  _, before, _ = finished
  shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
  made = config(
    {'ten': CELLS['ten']},
    {'random_k': ROWS['random_k'], 'late': {'name': 'finetune'}},
    probes={'spd_gan': {'num_steps': 2, 'width': 2}},
  ).unlock()
  made.paper, made.reference = ('degrees',), 'none'
  reports, _ = run(made.lock(), tmp_path)
  assert list(reports) == ['ten']
  models = reports['ten']['models']
  # What is on disk stays in the report, the retrained too.
  assert models.keys() == before['ten']['models'].keys() | {'late'}
  for name, values in before['ten']['models'].items():
    for key in ('checkpoint_sha256', 'similarity', 'gap_to_retrained'):
      assert models[name][key] == values[key]
  asked = {name for name, values in models.items() if values['probes']}
  assert asked == {'original', 'retrained', 'random_k', 'late'}
  page = (tmp_path / 'report.md').read_text()
  first, second = page.split('\n## ')[1:]
  assert 'runs: 3, of which 3 finished' in first and 'eu\\_2' in first
  assert 'runs: 1, of which 1 finished' in second and 'eu\\_2' not in second
  kept = sorted(x.name for x in (tmp_path / 'configs').iterdir())
  assert kept == ['degrees.json', 'table2.json']
  # And the first once more: what was asked stays, and is not asked again.
  monkeypatch.setattr(probing, '_spd_gan', None)
  again, said = run(config(CELLS), tmp_path)
  assert 'compiling' not in said
  assert again['ten']['models'].keys() == models.keys()
  assert again['ten']['models']['late']['probes'] == models['late']['probes']
  assert (tmp_path / 'report.md').read_text() == page


@pytest.mark.parametrize(
  ('section', 'changes', 'sentence'),
  [
    ('unlearn', {'epochs': 9}, r'epochs is 9, but .*cells.ten'),
    ('train', {'epochs': 9}, r'train\.epochs is 9, but .*cells.ten'),
    ('recipes', {'random_k': {'name': 'finetune'}}, r'random_k.* was made'),
    ('probes', {'spd_gan': {'num_steps': 3}}, r'num_steps is 3, but'),
  ],
)
def test_a_refused_change_changes_nothing(
  finished, tmp_path, section, changes, sentence
):
  shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
  answers = tmp_path / 'cells/twenty/probes/spd_gan'
  answers.mkdir(parents=True)
  (answers / 'original.json').write_text(
    '{"made_from": {"num_steps": 2}, "found": {}}'
  )
  (tmp_path / 'report.md').unlink()
  before = {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()}
  with pytest.raises(InputError, match=sentence):
    run(config(CELLS, **{section: changes}), tmp_path)
  after = {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()}
  assert after == before


def test_a_probe_that_failed_is_asked_again(tmp_path, monkeypatch):
  made = config(
    {'one': {}},
    {'random_k': ROWS['random_k']},
    probes={'spd_gan': {'num_steps': 2, 'width': 2}},
  )
  ask = probing._spd_gan

  def full(run, settings, name, *args):
    if name == 'random_k':
      raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory')
    return ask(run, settings, name, *args)

  monkeypatch.setattr(probing, '_spd_gan', full)
  reports, said = run(made, tmp_path)
  found = reports['one']['models']['random_k']['probes']['spd_gan']
  assert found['degree'] is None and 'out of memory' in found['failed']
  assert 'random_k: spd_gan failed' in said
  monkeypatch.setattr(probing, '_spd_gan', ask)
  reports, said = run(made, tmp_path)
  assert said.count('asking spd_gan') == 1
  found = reports['one']['models']['random_k']['probes']['spd_gan']
  assert found['degree'] is not None and 'failed' not in found


def test_two_cells_that_differ_in_nothing_are_refused_at_once(tmp_path):
  with pytest.raises(InputError, match=r'two and one .*differ in nothing'):
    run(config({'one': {}, 'two': {}}), tmp_path)
  assert not (tmp_path / 'config.json').exists()


def test_a_matrix_and_a_run_do_not_share_a_workdir(finished, tmp_path):
  workdir, _, _ = finished
  with pytest.raises(InputError, match='holds a matrix of runs: choose'):
    run(config({}), workdir)
  (tmp_path / 'original').mkdir()
  with pytest.raises(InputError, match='holds a run that is no matrix: choose'):
    run(config(CELLS), tmp_path)


def test_a_damaged_result_is_named(finished, tmp_path):
  shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
  damaged = tmp_path / 'cells/ten/original/result.json'
  damaged.write_text(damaged.read_text()[:50])
  with pytest.raises(InputError, match=r'result\.json is damaged: remove'):
    run(config(CELLS), tmp_path)


def test_results_of_other_settings_are_not_drawn_as_new(tmp_path):
  cells = {'one': {'forget': {'fraction': 0.1}}}
  run(config(cells, {'random_k': ROWS['random_k']}), tmp_path)
  path = tmp_path / 'config.json'
  changed = json.loads(path.read_text())
  changed['matrix']['one']['forget']['fraction'] = 0.3
  path.write_text(json.dumps(changed))
  report.write_matrix(tmp_path)
  page = (tmp_path / 'report.md').read_text()
  assert 'made with another forget than now asked' in page
  assert '0 finished' in page


@pytest.mark.parametrize('content', ['{"x": ', '{"matrix": {"../a": {}}}'])
def test_a_damaged_config_of_before_is_named_before_anything_runs(
  finished, tmp_path, content
):
  shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
  (tmp_path / 'configs/figure8.json').write_text(content)
  before = {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()}
  cells = {**CELLS, 'late': {'forget': {'fraction': 0.15}}}
  with pytest.raises(InputError, match=r'figure8\.json is damaged: remove'):
    run(config(cells), tmp_path)
  after = {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()}
  assert after == before


@pytest.mark.parametrize(
  ('cell', 'sentence'),
  [
    ({'forget': {'kind': 'class', 'classes': (99,)}}, r'matrix\.two: .*99'),
    ({'model': {'name': 'googlenet'}}, r'matrix\.two: .*multiple of 8'),
    ({'data': {'num_train': 5000}}, r'matrix\.two: .*num_train is 5000'),
  ],
)
def test_a_mistake_that_the_data_shows_is_named_before_anything_runs(
  tmp_path, cell, sentence
):
  with pytest.raises(InputError, match=sentence):
    run(config({'one': {}, 'two': cell}), tmp_path)
  assert not (tmp_path / 'cells').exists()


def test_a_table_that_there_is_not_is_named_before_anything_runs(tmp_path):
  made = config({'one': {}}).unlock()
  made.paper = ('tabel2',)
  with pytest.raises(InputError, match="names 'tabel2'"):
    run(made.lock(), tmp_path)
  assert not (tmp_path / 'cells').exists()
