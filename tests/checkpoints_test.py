import contextlib
import errno
import json
import os
import pathlib
import resource
import shutil
import threading
from concurrent.futures import Future

import chex
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxunlearn import machine
from jaxunlearn.checkpoints import Checkpoints
from jaxunlearn.errors import Conflict, InputError, Unavailable
from jaxunlearn.models import adapters

PARAMS = {'a': jnp.arange(12.0).reshape(3, 4), 'b': jnp.ones((), jnp.bfloat16)}
LIKE = {'params': PARAMS, 'opt': optax.adamw(1e-3).init(PARAMS)}


def saved(path, steps=(3, 5)):
  """Checkpoints of which the numbers tell the step."""
  found = Checkpoints(path / 'c', {'rate': 0.1})
  for step in steps:
    tree = {**LIKE, 'params': {**PARAMS, 'a': PARAMS['a'] + step}}
    found.save(step, tree, {'lines': [step]})
  found.wait()
  return found


def latest(path):
  said = []
  return Checkpoints(path / 'c', {}).latest(LIKE, said.append), said


def test_the_newest_comes_back_as_it_was_saved(tmp_path):
  saved(tmp_path)
  found, said = latest(tmp_path)
  assert found.step == 5 and found.facts == {'lines': [5]}
  assert found.changes == [] and said == []
  chex.assert_trees_all_equal(found.tree['params']['a'], PARAMS['a'] + 5)
  chex.assert_trees_all_equal(found.tree['opt'], LIKE['opt'])
  assert found.tree['params']['b'].dtype == jnp.bfloat16


def test_two_are_kept_and_none_when_the_work_is_done(tmp_path):
  found = saved(tmp_path, (1, 2, 3))
  names = sorted(x.name for x in (tmp_path / 'c').iterdir())
  assert names == ['2', '2.json', '3', '3.json']
  assert found.recorded()['made_from'] == {'rate': 0.1}
  found.remove()
  assert not (tmp_path / 'c').exists() and found.recorded() is None
  assert latest(tmp_path) == (None, [])


def files_of_arrays(path):
  return sorted(
    x.relative_to(path)
    for x in (path / 'c/5').rglob('*')
    if x.is_file() and 'd' in x.parent.name
  )


def test_a_flipped_bit_is_seen_in_any_file_of_arrays(tmp_path):
  saved(tmp_path / 'whole')
  names = files_of_arrays(tmp_path / 'whole')
  for number, name in enumerate(names):
    for where in (0.1, 0.5, 0.9):
      copy = tmp_path / f'{number}-{where}'
      shutil.copytree(tmp_path / 'whole', copy)
      content = bytearray((copy / name).read_bytes())
      content[int(where * len(content))] ^= 4
      (copy / name).write_bytes(content)
      found, said = latest(copy)
      # What Orbax merged into d/ is no longer read elsewhere.
      if name.parent.name == 'd' and name.parent.parent.name == '5':
        assert found.step == 3
      if found.step == 5:
        chex.assert_trees_all_equal(found.tree['params']['a'], PARAMS['a'] + 5)
      else:
        assert found.step == 3 and 'damaged; going back to' in said[0]


@pytest.mark.parametrize(
  'damage',
  [
    lambda path: (path / '5.json').write_text('{"content": '),
    lambda path: (path / '5.json').write_text(
      (path / '5.json').read_text().replace('"step": 5', '"step": 6')
    ),
    lambda path: shutil.rmtree(path / '5'),
    lambda path: (path / '5/_METADATA').write_bytes(b''),
    lambda path: [
      os.truncate(x, x.stat().st_size // 2)
      for x in (path / '5').rglob('*')
      if x.is_file()
    ],
  ],
  ids=['cut manifest', 'other manifest', 'gone', 'empty', 'truncated'],
)
def test_the_one_before_takes_the_place_of_a_damaged_one(tmp_path, damage):
  saved(tmp_path)
  damage(tmp_path / 'c')
  found, (sentence,) = latest(tmp_path)
  assert found.step == 3
  assert f'{tmp_path}/c/5 is damaged' in sentence
  # Until there is another, nothing is removed that some other hand may mend.
  assert (tmp_path / 'c/3').exists()
  again = Checkpoints(tmp_path / 'c', {})
  again.latest(LIKE, print)
  again.save(5, LIKE, {})
  again.wait()
  names = sorted(x.name for x in (tmp_path / 'c').iterdir())
  assert names == ['3', '3.json', '5', '5.json']


def test_what_has_no_manifest_was_cut_off_and_is_nothing(tmp_path):
  saved(tmp_path)
  (tmp_path / 'c/5.json').unlink()
  found, said = latest(tmp_path)
  assert found.step == 3
  assert said == [f'the checkpoint {tmp_path}/c/5 was not whole, and removed.']
  assert not (tmp_path / 'c/5').exists()


def test_where_all_are_damaged_there_is_none(tmp_path):
  saved(tmp_path)
  for step in (3, 5):
    (tmp_path / f'c/{step}.json').write_text('{}')
  found, said = latest(tmp_path)
  assert found is None
  assert 'going back' in said[0] and 'beginning again' in said[1]
  assert saved(tmp_path, (1,)).latest(LIKE, print).step == 1


@pytest.mark.parametrize(
  ('params', 'words'),
  [
    ({'a': PARAMS['a'][:2], 'b': PARAMS['b']}, r"\['a'\] is float32 \(2, 4\)"),
    ({'a': PARAMS['a']}, r"\['b'\] is not there now, but in .*bfloat16 \(\)"),
  ],
)
def test_one_of_other_arrays_is_kept_and_told_of(tmp_path, params, words):
  """As after an upgrade of optax: it is whole, and no good to this start."""
  saved(tmp_path)
  with pytest.raises(Conflict, match=words):
    Checkpoints(tmp_path / 'c', {}).latest({**LIKE, 'params': params}, print)
  assert latest(tmp_path)[0].step == 5


def test_a_change_of_machine_is_known_from_then_on(tmp_path, monkeypatch):
  saved(tmp_path)
  monkeypatch.setattr(os, 'sched_getaffinity', lambda _: range(96))
  found = Checkpoints(tmp_path / 'c', {})
  (change,) = found.latest(LIKE, print).changes
  assert change['step'] == 5 and change['what']['cores'][1] == 96
  found.save(7, LIKE, {})
  found.wait()
  monkeypatch.undo()
  changes = latest(tmp_path)[0].changes
  assert changes[0] == change and changes[1]['what']['cores'][0] == 96


@contextlib.contextmanager
def small_files_only(size):
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_without_room_the_last_one_is_kept(tmp_path):
  found = saved(tmp_path)
  big = {'a': np.random.default_rng(0).random(100_000)}
  with small_files_only(20_000):
    found.save(9, big, {})
    with pytest.raises(InputError, match=r'no room .*: raise the limit on the'):
      found.wait()
  assert latest(tmp_path)[0].step == 5


@pytest.mark.parametrize('name', ['_METADATA', '5.json'])
def test_one_that_may_not_be_read_is_not_passed_over(
  tmp_path, monkeypatch, name
):
  saved(tmp_path)
  read = pathlib.Path.read_text

  def refuse(path, *args):
    if path.name == name:
      raise PermissionError(errno.EACCES, 'Permission denied', str(path))
    return read(path, *args)

  monkeypatch.setattr(pathlib.Path, 'read_text', refuse)
  with pytest.raises(Unavailable, match='cannot be read'):
    latest(tmp_path)
  monkeypatch.undo()
  assert latest(tmp_path)[0].step == 5


def test_the_facts_are_those_of_the_moment(tmp_path):
  found, facts = Checkpoints(tmp_path / 'c', {}), {'lines': [1]}
  found.save(1, LIKE, facts)
  facts['lines'].append(2)
  found.wait()
  assert latest(tmp_path)[0].facts == {'lines': [1]}


def test_the_manifest_is_strict_json(tmp_path):
  saved(tmp_path)
  content = json.loads((tmp_path / 'c/5.json').read_text())['content']
  assert content['environment'].keys() == machine.environment().keys()


def test_a_link_in_place_of_the_folder_leads_nowhere(tmp_path):
  (tmp_path / 'mine').mkdir()
  (tmp_path / 'mine/letter').touch()
  (tmp_path / 'c').symlink_to(tmp_path / 'mine')
  assert latest(tmp_path) == (None, [])
  assert saved(tmp_path).latest(LIKE, print).step == 5
  assert [x.name for x in (tmp_path / 'mine').iterdir()] == ['letter']


def test_what_is_being_written_is_known_until_it_is_whole(
  tmp_path, monkeypatch
):
  """A second Ctrl-C ends the wait for a checkpoint, and not its writing."""
  writing, free = threading.Event(), threading.Event()
  save = adapters.save

  def slow(*args):
    writing.set()
    free.wait()
    save(*args)

  monkeypatch.setattr(adapters, 'save', slow)
  found = Checkpoints(tmp_path / 'c', {})
  found.save(3, LIKE, {})
  writing.wait()

  def stopped(self, timeout=None):
    raise KeyboardInterrupt

  with monkeypatch.context() as patched:
    patched.setattr(Future, 'result', stopped)
    with pytest.raises(KeyboardInterrupt):
      found.wait()
  free.set()
  found.settle()
  assert latest(tmp_path)[0].step == 3
