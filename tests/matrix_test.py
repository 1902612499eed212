"""Matrices of runs on a few digits."""

import io
import json

import pytest
from rich.console import Console

from configs import common
from jaxunlearn import experiment, making
from jaxunlearn.errors import InputError
from jaxunlearn.progress import Progress

ROWS = {
  'random_k': {'name': 'random_k'},
  'eu_2_leaves': {'name': 'eu_k', 'k': 2},
  'again': {'name': 'retrain'},
}


def config(cells, rows=ROWS, **sections):
  made = common.get_config()
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
  for name, report in reports.items():
    assert list(report['models'])[2:] == list(ROWS)
    on_disk = json.loads((workdir / f'cells/{name}/report.json').read_text())
    assert on_disk == json.loads(json.dumps(report))


def test_cells_of_one_training_share_the_original(finished):
  workdir, reports, said = finished
  hashes = {
    name: report['models']['original']['checkpoint_sha256']
    for name, report in reports.items()
  }
  assert hashes['ten'] == hashes['twenty'] != hashes['ten-again']
  assert said.count('original: compiling') == 2
  assert reports['twenty']['original']['from'] == str(workdir / 'cells/ten')


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
  for name, report in again.items():
    for model, values in report['models'].items():
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


def test_a_cell_that_fails_says_why_and_stops_no_other(tmp_path):
  worse = {'optimizer': 'adamw', 'learning_rate': 1e3, 'weight_decay': 1e3}
  cells = {'bad': {'train': {**worse, 'epochs': 9}}, 'good': {}}
  reports, said = run(config(cells), tmp_path)
  assert reports['bad'] is None and reports['good'] is not None
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
