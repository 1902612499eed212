import subprocess
import sys
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
    ([], 'required'),
  ],
)
def test_a_grid_that_is_none_is_refused(tmp_path, arguments, words):
  done = sweep(f'--workdir={tmp_path}', *arguments)
  assert done.returncode == 2 and words in done.stderr
  assert 'Traceback' not in done.stderr and not list(tmp_path.iterdir())
