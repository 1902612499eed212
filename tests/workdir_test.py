import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn.checkpoints import Checkpoints
from jaxunlearn.errors import Conflict, InputError
from jaxunlearn.workdir import Workdir

VARIABLES = {'params': {'w': jnp.arange(3.0)}}
LOGITS = {'forget': np.eye(2, dtype=np.float32)}


def finish(work, made_from, name='original', **facts):
  stage = work.stage(name, made_from)
  stage.finish(VARIABLES, LOGITS, {'epochs': 3, **facts})
  return stage


def test_a_finished_stage_gives_back_what_was_written(tmp_path):
  work = Workdir(tmp_path)
  mask = {'w': np.array([True, False, True])}
  stage = work.stage('unlearned/row', {'a': 1})
  assert not stage.finished
  stage.finish(VARIABLES, LOGITS, {'epochs': 3}, mask)
  assert stage.finished
  assert stage.result()['epochs'] == 3
  np.testing.assert_array_equal(stage.logits('forget'), LOGITS['forget'])
  restored = stage.variables(VARIABLES)
  np.testing.assert_array_equal(restored['params']['w'], [0, 1, 2])
  with np.load(stage.path / 'selection.npz') as selection:
    np.testing.assert_array_equal(selection['w'], mask['w'])


@pytest.mark.parametrize(
  'now', [{'a': 2, 'b': (1,)}, {'a': 1}, {'a': 1, 'b': (1,), 'c': 0}]
)
def test_a_change_to_what_a_stage_was_made_from_is_refused(tmp_path, now):
  work = Workdir(tmp_path)
  finish(work, {'a': 1, 'b': (1,)})
  assert work.stage('original', {'a': 1, 'b': (1,)}).finished
  old = {'a': 1, 'b': (1,)}
  changed = next(k for k in 'abc' if now.get(k) != old.get(k))
  with pytest.raises(InputError, match=f'^{changed} is .* was made with'):
    _ = work.stage('original', now).finished


@pytest.mark.parametrize('off', [False, None])
def test_a_setting_that_came_later_and_is_off_changes_nothing(tmp_path, off):
  finish(Workdir(tmp_path), {'a': 1})
  assert Workdir(tmp_path).stage('original', {'a': 1, 'b': off}).finished


def test_what_no_run_has_finished_is_left_alone(tmp_path):
  (tmp_path / 'original').mkdir()
  (tmp_path / 'original/thesis.txt').write_text('')
  with pytest.raises(InputError, match='was not finished by a run'):
    _ = Workdir(tmp_path).stage('original', {}).finished
  assert (tmp_path / 'original/thesis.txt').exists()


def test_a_stage_that_was_cut_short_is_made_again(tmp_path):
  (tmp_path / '.making-original').mkdir()
  (tmp_path / '.making-original/junk').write_text('')
  assert finish(Workdir(tmp_path), {'a': 2}).finished
  assert [p.name for p in tmp_path.iterdir()] == ['original']


def test_a_model_that_was_exchanged_is_refused(tmp_path):
  work = Workdir(tmp_path)
  stage, other = finish(work, {}), work.stage('other', {})
  other.finish({'params': {'w': jnp.ones(3)}}, LOGITS, {})
  (stage.path / 'result.json').rename(tmp_path / 'kept')
  shutil.rmtree(stage.path)
  other.path.rename(stage.path)
  (tmp_path / 'kept').rename(stage.path / 'result.json')
  with pytest.raises(InputError, match='is not the one that was saved'):
    stage.variables(VARIABLES)


def test_a_forgotten_stage_keeps_its_numbers_alone(tmp_path):
  stage = finish(Workdir(tmp_path), {'a': 1})
  stage.forget({'similarity': 0.5})
  assert [p.name for p in stage.path.iterdir()] == ['result.json']
  assert stage.finished
  assert stage.result()['similarity'] == 0.5
  with pytest.raises(InputError, match='no longer holds a model'):
    stage.variables(VARIABLES)


@pytest.mark.parametrize('name', ['result.json', 'logits.npz'])
def test_a_damaged_file_is_named(tmp_path, name):
  stage = finish(Workdir(tmp_path), {'a': 1})
  path = stage.path / name
  path.write_bytes(path.read_bytes()[:20])
  with pytest.raises(InputError, match=f'{name} is damaged: remove'):
    stage.result() if name == 'result.json' else stage.logits('forget')


def test_lines_of_a_model_that_is_made_again_are_removed(tmp_path):
  work = Workdir(tmp_path)
  assert work.history() == []
  for model, epoch in (('a', 1), ('b', 1), ('a', 2)):
    work.log({'model': model, 'epoch': epoch})
  work.write_lines('a', [{'model': 'a', 'epoch': 7}])
  assert work.history() == [
    {'model': 'b', 'epoch': 1},
    {'model': 'a', 'epoch': 7},
  ]


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
  work = Workdir(tmp_path)
  work.log({'model': 'a', 'epoch': 1})
  with open(tmp_path / 'metrics.jsonl', 'a') as file:
    file.write('{"model": "a", "epo')
  assert work.history() == [{'model': 'a', 'epoch': 1}]
  work.write_lines('b', [])
  work.log({'model': 'b', 'epoch': 1})
  assert [x['model'] for x in work.history()] == ['a', 'b']


@pytest.mark.parametrize('line', ['{"model": "a"\n', '3\n', '{}\n'])
def test_a_line_of_another_kind_is_named(tmp_path, line):
  (tmp_path / 'metrics.jsonl').write_text(line)
  with pytest.raises(InputError, match=r'metrics\.jsonl is damaged: remove'):
    Workdir(tmp_path).history()


@pytest.mark.parametrize('text', ['{}', '[]', '{"made_from": 3}'])
def test_a_result_of_another_kind_is_named(tmp_path, text):
  stage = finish(Workdir(tmp_path), {'a': 1})
  (stage.path / 'result.json').write_text(text)
  with pytest.raises(InputError, match=r'result\.json is damaged'):
    _ = stage.finished


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path):
  (tmp_path / 'unlearned').write_text('')
  with pytest.raises(InputError, match='unlearned in it is no folder'):
    Workdir(tmp_path)


def test_a_workdir_that_cannot_be_written_is_refused(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(InputError, match='cannot be written'):
    Workdir(tmp_path / 'file' / 'w')


def test_config_json_is_strict_json(tmp_path):
  Workdir(tmp_path).write_config({'a': (1, 2), 'b': None})
  content = json.loads((tmp_path / 'config.json').read_text())
  assert content == {'a': [1, 2], 'b': None}


def test_the_last_good_model_replaces_the_one_before(tmp_path):
  work = Workdir(tmp_path)
  first = work.save_last_good('row', VARIABLES)
  assert work.save_last_good('row', VARIABLES) == first
  assert (first / '_METADATA').exists()
  work.remove_last_good('row')
  work.remove_last_good('row')
  assert not (tmp_path / 'last_good').exists()


def test_a_stage_that_failed_is_finished_and_says_why(tmp_path):
  stage = Workdir(tmp_path).stage('unlearned/row', {'a': 1})
  (tmp_path / 'unlearned/.making-row').mkdir(parents=True)
  (tmp_path / 'unlearned/.making-row/junk').write_text('')
  stage.fail({'recipe': 'top_k', 'failed': 'it diverged.'})
  assert stage.finished
  assert stage.result()['failed'] == 'it diverged.'
  assert [path.name for path in stage.path.iterdir()] == ['result.json']
  assert Workdir(tmp_path).rows() == ['row']


@pytest.mark.parametrize('again', [True, False])
def test_what_is_tried_again_keeps_its_checkpoints(tmp_path, again):
  stage = Workdir(tmp_path).stage('row', {'a': 1})
  stage.checkpoints.save(3, VARIABLES, {})
  stage.fail({'failed': 'no memory.', 'again': again})
  begun = Workdir(tmp_path).stage('row', {'a': 1})
  begun.tidy()
  assert begun.path.exists() != again
  assert (begun.checkpoints.recorded() is not None) == again


def test_what_was_begun_with_other_settings_is_refused(tmp_path):
  stage = Workdir(tmp_path).stage('row', {'a': 1})
  stage.checkpoints.save(3, VARIABLES, {})
  stage.checkpoints.wait()
  with pytest.raises(Conflict, match=r'a is 2, but .*unfinished-row was made'):
    Workdir(tmp_path).stage('row', {'a': 2}).check()
  assert stage.checkpoints.recorded() is not None


def test_a_stage_knows_of_which_original_it_is_begun_or_made(tmp_path):
  stage = Workdir(tmp_path).stage('row', {'a': 1})
  assert stage.origin() == (tmp_path / 'row', None)
  stage.selected.save(0, VARIABLES, {'original_sha256': 'abc'})
  stage.settle()
  assert stage.origin() == (tmp_path / '.selected-row', 'abc')
  finish(Workdir(tmp_path), {'a': 1}, 'row', original_sha256='def')
  assert stage.origin() == (tmp_path / 'row', 'def')


def test_what_was_half_written_goes(tmp_path):
  work = finish(Workdir(tmp_path), {'a': 1}, 'unlearned/row').path.parents[1]
  for name in (
    'unlearned/.making-gone',
    '.making-original.orbax-checkpoint-tmp',
    'last_good/row.orbax-checkpoint-tmp-1',
  ):
    (work / name).mkdir(parents=True)
  for name in (
    '.config.json.partial',
    'configs/.t.partial',
    'probes/p/.row.json.partial',
  ):
    (work / name).parent.mkdir(parents=True, exist_ok=True)
    (work / name).touch()
  Workdir(work).tidy()
  left = {x.relative_to(work).as_posix() for x in work.rglob('*')}
  assert not [x for x in left if '/.' in f'/{x}' or 'tmp' in x]
  assert 'unlearned/row/result.json' in left


def test_what_a_killed_start_left_over_goes(tmp_path):
  stage = finish(Workdir(tmp_path), {'a': 1}, 'row')
  stage.checkpoints.save(3, VARIABLES, {})
  stage.checkpoints.wait()
  (tmp_path / '.making-row').mkdir()
  stage.tidy()
  assert [x.name for x in tmp_path.iterdir()] == ['row']


def test_what_is_left_of_models_that_are_gone_is_swept(tmp_path):
  work = Workdir(tmp_path)
  for name in ('gone', 'row'):
    stage = work.stage(f'unlearned/{name}', {})
    stage.selected.save(0, VARIABLES, {})
    stage.checkpoints.save(3, VARIABLES, {})
    stage.settle()
    work.save_last_good(name, VARIABLES)
  probe = tmp_path / 'probes/spd_gan/.unfinished-gone'
  probe.mkdir(parents=True)
  work.sweep(['row'])
  assert [x.name for x in (tmp_path / 'last_good').iterdir()] == ['row']
  work.sweep([])
  left = [x.name for x in tmp_path.rglob('*')]
  assert sorted(left) == ['probes', 'spd_gan', 'unlearned']


def test_a_selection_that_could_not_be_written_is_not_passed_over(
  tmp_path, monkeypatch
):
  def fail(*_):
    raise OSError(28, 'No space left on device')

  stage = Workdir(tmp_path).stage('row', {'a': 1})
  monkeypatch.setattr('jaxunlearn.models.adapters.save', fail)
  stage.selected.save(0, VARIABLES, {})
  with pytest.raises(InputError, match='no room left to write'):
    stage.finish(VARIABLES, LOGITS, {})
  assert not stage.path.exists()


def test_what_failed_stays_where_it_is_not_to_be_made_again(tmp_path):
  stage = Workdir(tmp_path).stage('unlearned/a', {})
  stage.fail({'failed': 'no memory', 'again': True})
  stage.tidy(again=False)
  assert stage.result()['failed'] == 'no memory'
  stage.tidy()
  assert not stage.path.exists()


@pytest.mark.parametrize(
  'name',
  ['figures', 'unlearned', 'cells', 'original', 'unlearned/a', 'cells/one']
  + ['probes/spd_gan', 'originals/a'],
)
def test_a_link_in_the_place_of_a_folder_is_refused(tmp_path, name):
  (tmp_path / 'mine').mkdir()
  (tmp_path / 'w' / name).parent.mkdir(parents=True)
  (tmp_path / 'w' / name).symlink_to(tmp_path / 'mine')
  with pytest.raises(InputError, match=f'{name} in it is no folder, or a link'):
    Workdir(tmp_path / 'w')


def test_a_kill_before_it_is_made_again_with_other_settings(
  tmp_path, monkeypatch
):
  """The checkpoints of the old ones go first: alone they would be refused."""

  class Death(BaseException):
    pass

  def die(self):
    raise Death

  stage = Workdir(tmp_path).stage('row', {'a': 1})
  stage.checkpoints.save(3, VARIABLES, {})
  stage.fail({'failed': 'no memory', 'again': True})
  with monkeypatch.context() as patched:
    patched.setattr(Checkpoints, 'remove', die)
    with pytest.raises(Death):
      Workdir(tmp_path).stage('row', {'a': 2}).tidy()
  begun = Workdir(tmp_path).stage('row', {'a': 2})
  begun.check()
  begun.tidy()
  assert begun.checkpoints.recorded() is None and not begun.path.exists()
