import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GRID = ['--grid', 'train.epochs=0,-1', '--grid', 'forget.seed=1,2']


def sweep(*arguments):
  return subprocess.run(
    [sys.executable, 'launch/sweep.py', *arguments],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )


def test_each_combination_is_run_in_a_workdir_of_its_own(tmp_path):
  where = ['--config=configs/digits_topk.py', f'--workdir={tmp_path / "w"}']
  done = sweep(*where, *GRID, '--config.reference=none')
  names = [line for line in done.stdout.splitlines() if ': ' in line]
  assert names == [
    *(
      f'sweep: train.epochs={x},forget.seed={y}'
      for x in (0, -1)
      for y in (1, 2)
    ),
    'sweep: 0 of 4 combinations are done.',
  ]
  # Each of them is refused, and the others are tried still.
  assert done.returncode == 2
  assert done.stderr.count('train.epochs is ') == 4


def test_a_signal_is_passed_on_and_its_end_is_waited_for(tmp_path):
  command = ['launch/sweep.py', '--config=configs/digits_topk.py', *GRID[2:]]
  command += [f'--workdir={tmp_path}', '--config.train.epochs=10000']
  process = subprocess.Popen(
    [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
  )
  metrics, until = tmp_path / 'forget.seed=1/metrics.jsonl', time.time() + 120
  while not (metrics.exists() and metrics.read_text()):
    assert time.time() < until
    time.sleep(0.1)
  process.terminate()
  said, _ = process.communicate(timeout=60)
  assert process.returncode == 75
  assert said.endswith('sweep: 0 of 2 combinations are done.\n')
  assert list(tmp_path.glob('*/.unfinished-original/*.json'))
  assert not list(tmp_path.glob('*/.lock'))


def test_commas_within_brackets_part_nothing(tmp_path):
  grid = ['--grid', 'forget.classes=(1,2),(3,)', '--config.train.epochs=0']
  where = ['--config=configs/digits_topk.py', f'--workdir={tmp_path / "w"}']
  done = sweep(*where, *grid)
  assert 'sweep: forget.classes=(1,2)\n' in done.stdout
  assert 'sweep: forget.classes=(3,)\n' in done.stdout


def test_a_task_of_an_array_runs_one(tmp_path):
  where = ['--config=configs/digits_topk.py', f'--workdir={tmp_path / "w"}']
  done = sweep(*where, *GRID, '--number=2')
  assert 'sweep: train.epochs=-1,forget.seed=1\n' in done.stdout
  assert done.stderr.count('train.epochs is ') == 1


@pytest.mark.parametrize(
  'arguments, words',
  [
    (['--grid', 'forget.seed'], 'write KEY=VALUE,VALUE'),
    (['--grid', 'forget.seed=1,,2'], 'write KEY=VALUE,VALUE'),
    ([*GRID, '--number=4'], 'numbered from 0'),
    (['--grid', 'forget.seed=1,1'], 'give each value once'),
    (['--grid', f'forget.path={"x" * 300}'], 'too long for a folder'),
    ([], 'required'),
  ],
)
def test_a_grid_that_is_none_is_refused(tmp_path, arguments, words):
  done = sweep(f'--workdir={tmp_path}', *arguments)
  assert done.returncode == 2 and words in done.stderr
  assert 'Traceback' not in done.stderr and not list(tmp_path.iterdir())
