"""What a run comes to that was killed again and again."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.interrupted import outcome

ROOT = Path(__file__).parents[1]
COMPILED = {
  'JAX_COMPILATION_CACHE_DIR': tempfile.mkdtemp(),
  'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
}
# (stage, XLA call of that start, or `finish`), over all stages.
KILLS = (
  *(('original', call) for call in ('1', '2', '4', '5', 'finish')),
  *(('retrained', call) for call in ('1', '3', '3', 'finish')),
  *(('finetune', call) for call in ('1', '2', '4', 'finish')),
  *(('top_k', call) for call in ('2', '3', 'finish')),
  ('spd_gan of original', '3'),
  ('spd_gan of retrained', '4'),
  ('spd_gan of finetune', '2'),
  ('spd_gan of top_k', '4'),
)


def start(work, stage='', call='0', number=signal.SIGKILL):
  return subprocess.run(
    [sys.executable, '-m', 'tests.interrupted', work, stage, call]
    + [str(int(number))],
    cwd=ROOT,
    env=os.environ | COMPILED,
    capture_output=True,
    text=True,
    timeout=300,
  )


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory):
  work = tmp_path_factory.mktemp('whole')
  process = start(work)
  assert process.returncode == 0, process.stderr
  return outcome(work)


def test_twenty_kills_change_nothing(uninterrupted, tmp_path):
  for stage, call in KILLS:
    process = start(tmp_path, stage, call)
    assert process.returncode == -signal.SIGKILL, (stage, call, process.stderr)
  process = start(tmp_path)
  assert process.returncode == 0, process.stderr
  assert outcome(tmp_path) == uninterrupted
  left = [x.name for x in tmp_path.rglob('.*')]
  assert not left
  # What was finished was not made again, and what was saved was gone on with.
  assert process.stdout.count('done before') == 4
  assert process.stdout.count('going on after step') == 1


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_says_how_to_go_on(uninterrupted, tmp_path, number):
  process = start(tmp_path, 'retrained', '4', number)
  assert process.returncode == 75
  assert process.stdout.endswith('retrained is saved after step 3\n')
  assert 'stopping at the next step' in process.stderr
  process = start(tmp_path)
  assert 'retrained: going on after step 3' in process.stdout
  assert outcome(tmp_path) == uninterrupted
