"""Runs that are told to stop, wherever they look, and started again."""

import io
import json

import jax
import pytest
from rich.console import Console

from configs import common
from jaxunlearn import experiment, machine, method
from jaxunlearn.attempt import Attempt
from jaxunlearn.checkpoints import Checkpoints
from jaxunlearn.errors import Conflict, InputError, Interrupted
from jaxunlearn.progress import Progress
from jaxunlearn.report import words

pytestmark = pytest.mark.usefixtures('compiled_in_a_hurry')

ROWS = {
  'random_k': {'name': 'random_k'},
  'cf': {'name': 'cf_k', 'k': 1},
  'again': {'name': 'retrain', 'seed': 3},
}


def config(**sections):
  made = common.get_config()
  made.mesh.data = 1
  made.data.num_train, made.data.num_test = 120, 40
  made.model.width = 2
  made.train.update({'epochs': 2, 'batch_size': 40})
  made.unlearn.update({'epochs': 1, 'batch_size': 40})
  made.save.update({'seconds': 0.0, 'steps': 1})
  made.recipes = common.rows(ROWS)
  made.probes = common.rows({'spd_gan': {'num_steps': 2, 'width': 2}})
  for name, changes in sections.items():
    made[name] = changes
  return made.lock()


def run(workdir, made, noted=lambda: False):
  said = io.StringIO()
  progress = Progress(Console(file=said, width=200))
  return experiment.run(made, workdir, progress, noted), said.getvalue()


def models(report):
  """What does not depend on when it was made."""
  return {
    name: [values['checkpoint_sha256'], values['accuracy'], values['probes']]
    for name, values in report['models'].items()
  }


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  report, _ = run(tmp_path_factory.mktemp('whole'), config())
  return models(report)


class At:
  """True from its n-th question on."""

  def __init__(self, number):
    self.left = number

  def __call__(self):
    self.left -= 1
    return self.left <= 0


def test_a_run_that_stops_at_each_fifth_place_ends_as_one_that_does_not(
  whole, tmp_path
):
  said = []
  for _ in range(100):
    try:
      report, _ = run(tmp_path, config(), At(5))
      break
    except Interrupted as error:
      said.append(str(error))
  assert models(report) == whole
  assert len(set(said)) > 5
  assert any('is saved after step' in x for x in said)
  assert not [x for x in tmp_path.rglob('*') if x.name.startswith('.')]


def test_a_matrix_names_the_cell_that_was_stopped_and_goes_on(tmp_path):
  cells = {'one': {}, 'two': {'forget': {'fraction': 0.2}}}
  rows = common.rows({'random_k': ROWS['random_k']})
  made = config(matrix=cells, probes={}, recipes=rows)
  reports, _ = run(tmp_path / 'whole', made)
  said = []
  for _ in range(100):
    try:
      found, _ = run(tmp_path / 'stopped', made, At(6))
      break
    except Interrupted as error:
      said.append(str(error))
  assert {k: models(v) for k, v in found.items()} == {
    k: models(v) for k, v in reports.items()
  }
  assert {x.partition(':')[0] for x in said} == {'one', 'two'}


def stopped_once(work, there, name='*.json', **sections):
  """A run that is told to stop when there is such a checkpoint."""
  save = Checkpoints.save

  def at_once(self, *args):
    save(self, *args)
    self.wait()

  with (
    pytest.MonkeyPatch.context() as patched,
    pytest.raises(Interrupted),
  ):
    patched.setattr(Checkpoints, 'save', at_once)
    run(work, config(**sections), lambda: any(work.glob(f'{there}/{name}')))


SELECTED = 'unlearned/.selected-random_k'


def test_what_was_selected_is_not_selected_again(whole, tmp_path, monkeypatch):
  stopped_once(tmp_path, SELECTED)
  selected = []
  select = method.select

  def counted(own, *args):
    selected.append(own)
    return select(own, *args)

  monkeypatch.setattr(method, 'select', counted)
  report, _ = run(tmp_path, config())
  assert models(report) == whole
  # That of CF-K, which had not begun.
  assert len(selected) == 1


def test_a_selection_that_was_made_elsewhere_is_told_of(tmp_path, monkeypatch):
  monkeypatch.setattr(machine, '_cores', lambda: 96)
  stopped_once(tmp_path, SELECTED)
  monkeypatch.undo()
  report, _ = run(tmp_path, config())
  (change,) = report['models']['random_k']['changes']
  assert change['step'] == 0 and change['what']['cores'][0] == 96
  # Begun later, on fewer cores than the original was made with.
  (change,) = report['models']['cf']['changes']
  assert change['step'] is None and change['what']['cores'][0] == 96
  told = [x for x in words.remarks(report) if 'elsewhere than the orig' in x]
  assert [x.split()[0] for x in told] == ['cf', 'again']


def test_a_row_that_was_begun_from_another_original_is_refused(tmp_path):
  stopped_once(tmp_path, SELECTED)
  path = tmp_path / 'original/result.json'
  content = json.loads(path.read_text())
  content['checkpoint_sha256'] = 64 * '0'
  path.write_text(json.dumps(content))
  with pytest.raises(
    Conflict, match=r'\.selected-random_k was made from another original'
  ):
    run(tmp_path, config())


def test_a_probe_that_was_begun_with_other_settings_is_refused(tmp_path):
  def gan(**changes):
    return common.rows({'spd_gan': {'num_steps': 40, 'width': 2, **changes}})

  begun = 'probes/spd_gan/.unfinished-original'
  stopped_once(tmp_path, begun, '3.json', probes=gan())
  manifest = json.loads((tmp_path / begun / '3.json').read_text())
  # Not of each step, or what is written would grow with the square of them.
  assert len(manifest['content']['facts']['calls']) == 1
  with pytest.raises(Conflict, match=r'spd_gan.eta is 0.5, but .*unfinished'):
    run(tmp_path, config(probes=gan(eta=0.5)))


def test_an_original_that_is_not_the_one_that_was_saved_is_refused(tmp_path):
  run(tmp_path / 'first', config(probes={}))
  path = tmp_path / 'first/original/result.json'
  content = json.loads(path.read_text())
  content['checkpoint_sha256'] = 64 * '0'
  path.write_text(json.dumps(content))
  own = {'checkpoint': str(tmp_path / 'first'), 'keep': True}
  made = config(probes={}, original=own)
  with pytest.raises(InputError, match='is not the one that was saved there'):
    run(tmp_path / 'second', made)


def test_memory_that_ran_out_may_be_met_with_a_smaller_batch(
  tmp_path, monkeypatch
):
  offer = Attempt.offer

  def full(self, *args):
    if self.name == 'random_k':
      raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory')
    offer(self, *args)

  rows = common.rows({'random_k': ROWS['random_k']})
  changes = {'matrix': {'one': {}}, 'probes': {}}
  changes['original'] = {'checkpoint': '', 'keep': False}
  monkeypatch.setattr(Attempt, 'offer', full)
  reports, _ = run(tmp_path, config(recipes=rows, **changes))
  assert 'out of memory' in reports['one']['models']['random_k']['failed']
  monkeypatch.undo()
  smaller = common.rows({'random_k': {**ROWS['random_k'], 'batch_size': 20}})
  reports, _ = run(tmp_path, config(recipes=smaller, **changes))
  assert not reports['one']['models']['random_k'].get('failed')
  # Which is kept until then, although the config wants none kept.
  left = [x.name for x in (tmp_path / 'cells/one/original').iterdir()]
  assert left == ['result.json']
