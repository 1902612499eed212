"""launch/slurm.sh, under commands that stand for SLURM's."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = {
  'srun': 'echo "$@" > "$SAID/srun"; exit "$CODE"',
  'scontrol': 'echo "$@" > "$SAID/scontrol"',
}


@pytest.mark.parametrize(
  'path', sorted(ROOT.glob('launch/*.sh')), ids=lambda path: path.name
)
def test_a_script_can_be_read(path):
  subprocess.run(['bash', '-n', path], check=True)


@pytest.fixture
def job(tmp_path):
  """Runs a job whose tasks end with a code: its own, stderr, and calls."""
  commands, said = tmp_path / 'commands', tmp_path / 'said'
  commands.mkdir(), said.mkdir()
  for name, text in COMMANDS.items():
    (commands / name).write_text(f'#!/usr/bin/env bash\n{text}\n')
    (commands / name).chmod(0o755)

  def run(code, **env):
    env |= {'PATH': f'{commands}:{os.environ["PATH"]}', 'SAID': str(said)}
    env |= {'CODE': str(code), 'SLURM_SUBMIT_DIR': str(ROOT)}
    ended = subprocess.run(
      ['bash', ROOT / 'launch/slurm.sh', '--workdir=w'],
      env=os.environ | env | {'SLURM_JOB_ID': '7'},
      capture_output=True,
      text=True,
    )
    called = {file.name: file.read_text().strip() for file in said.iterdir()}
    return ended.returncode, ended.stderr, called

  return run


@pytest.mark.parametrize('code', [0, 2])
def test_what_is_finished_or_mistaken_ends_as_its_tasks_do(job, code):
  ended, said, called = job(code)
  assert (ended, said) == (code, '')
  assert called == {
    'srun': '.venv/bin/python -m jaxunlearn.launch '
    '--config.hosts.coordinator=auto --workdir=w'
  }


def test_what_stopped_in_time_is_queued_again(job):
  ended, said, called = job(75)
  assert ended == 75 and 'queued again' in said
  assert called['scontrol'] == 'requeue 7'


@pytest.mark.parametrize('code', [69, 134])
def test_what_died_says_how_to_go_on(job, code):
  ended, said, called = job(code)
  assert ended == code and f'has died (exit code {code}): sbatch' in said
  assert 'scontrol' not in called


def test_an_array_is_a_sweep_of_one_task_each(job):
  *_, called = job(0, SLURM_ARRAY_TASK_ID='3', SLURM_NTASKS='1')
  assert (
    called['srun'] == '.venv/bin/python launch/sweep.py --number=3 --workdir=w'
  )
  ended, said, _ = job(0, SLURM_ARRAY_TASK_ID='3', SLURM_NTASKS='2')
  assert ended == 2 and 'each run of a sweep is one task' in said
