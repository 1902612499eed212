"""What a run comes to that was killed again and again."""

import os
import shutil
import signal

import pytest

from tests.forked import Forks
from tests.interrupted import outcome

# (stage, XLA call of that start, or as `interrupted` has it), over all stages.
KILLS = (
  *(('original', call) for call in ('1', '2', 'save', '5', 'finish')),
  *(('retrained', call) for call in ('1', '3', 'save', 'result')),
  *(('finetune', call) for call in ('1', '2', 'save', 'renamed')),
  *(('top_k', call) for call in ('2', '3', 'finish')),
  ('spd_gan of original', '3'),
  ('spd_gan of retrained', '4'),
  ('spd_gan of finetune', '2'),
  ('spd_gan of top_k', '4'),
)
CELLS = ('one', 'two')


@pytest.fixture(scope='module')
def start():
  forks = Forks()

  def started(work, stage='', call='0', number=signal.SIGKILL, cells=()):
    how = work, stage, call, int(number), *cells
    return forks.run('tests.interrupted', *how)

  yield started
  forks.close()


@pytest.fixture(scope='module')
def uninterrupted(start, tmp_path_factory):
  work = tmp_path_factory.mktemp('whole')
  process = start(work)
  assert process.returncode == 0, process.stderr
  return outcome(work)


def test_twenty_kills_change_nothing(uninterrupted, start, tmp_path):
  for stage, call in KILLS:
    process = start(tmp_path, stage, call)
    assert process.returncode == -signal.SIGKILL, (stage, call, process.stderr)
    # It died while it was written.
    assert (call == 'save') <= bool(list(tmp_path.rglob('*-checkpoint-tmp*')))
  process = start(tmp_path)
  assert process.returncode == 0, process.stderr
  assert outcome(tmp_path) == uninterrupted
  left = [x.name for x in tmp_path.rglob('.*')]
  assert not left
  # What was finished was not made again, and what was saved was gone on with.
  assert process.stdout.count('done before') == 4
  assert process.stdout.count('going on after step') == 1


def newest(work):
  """The checkpoint that was saved last."""
  return max(work.rglob('.unfinished-*/*.json'), key=lambda x: int(x.stem))


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_go_on(
  uninterrupted, start, tmp_path, number
):
  process = start(tmp_path, 'retrained', '4', number)
  assert process.returncode == 75
  assert process.stdout.endswith('retrained is saved after step 3\n')
  assert 'stopping at the next step' in process.stderr
  goes_on = 'retrained: going on after step 3'
  if number == signal.SIGINT:
    folder = newest(tmp_path).with_suffix('')
    for file in folder.rglob('d/*'):
      os.truncate(file, file.stat().st_size // 2)
    goes_on = 'retrained: going on after step 2'
  process = start(tmp_path)
  assert goes_on in process.stdout
  damaged = number == signal.SIGINT
  told = 'retrained/3 is damaged; going back to the one before it.'
  assert (told in process.stdout) == damaged
  assert outcome(tmp_path) == uninterrupted


def test_a_matrix_that_is_killed_ends_as_one_that_is_not(start, tmp_path):
  # In one place, for a cell says where its original lies.
  work = tmp_path / 'matrix'

  def outcomes():
    return [outcome(work / 'cells' / name) for name in CELLS]

  assert start(work, cells=CELLS).returncode == 0
  whole = outcomes()
  shutil.rmtree(work)
  for stage, call in (('original', 'save'), ('finetune', '4')):
    process = start(work, stage, call, cells=CELLS)
    assert process.returncode == -signal.SIGKILL, process.stderr
  process = start(work, cells=CELLS)
  assert process.returncode == 0, process.stderr
  assert 'original: going on after step' not in process.stdout
  assert 'finetune: going on after step 2' in process.stdout
  assert outcomes() == whole
  assert not [x.name for x in work.rglob('.*')]
