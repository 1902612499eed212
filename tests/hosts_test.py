"""Several processes over loopback: the numbers of one, and what a kill does."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import chex
import numpy as np
import pytest

from jaxunlearn import experiment, hosts
from jaxunlearn.errors import InputError
from tests import hosted
from tests.data.streams_test import make, png

ROOT = Path(__file__).parents[1]
SETTINGS = {'count': 2, 'index': 0, 'heartbeat_timeout_seconds': 10}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  root = tmp_path_factory.mktemp('data')
  images = np.random.default_rng(0).integers(0, 256, (90, 8, 8), np.uint8)
  make(root, [png(x) for x in images])
  return root


@pytest.fixture(scope='module')
def alone(data, tmp_path_factory):
  work = tmp_path_factory.mktemp('alone')
  return work, experiment.run(hosted.config(data), work)


def start(count, workdir, data, original, *killed):
  """So many processes, of which the last one kills itself; how each ended."""
  with socket.socket() as free:
    free.bind(('localhost', 0))
    coordinator = f'localhost:{free.getsockname()[1]}'
  processes = []
  for index in range(count):
    where = [str(x) for x in (workdir, data, original / 'original')]
    own = [coordinator if count > 1 else '', str(count), str(index)]
    last = killed if index == count - 1 else ()
    processes.append(
      subprocess.Popen(
        [sys.executable, '-m', 'tests.hosted', *where, *own, *last],
        cwd=ROOT,
        env=os.environ | {'JAX_PLATFORMS': 'cpu'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
      )
    )
  *others, last = processes
  said = [last.communicate(timeout=300)[0]]
  ended = time.monotonic()
  said += [process.communicate(timeout=300)[0] for process in others]
  codes = [process.returncode for process in processes]
  return codes, '\n'.join(said), time.monotonic() - ended


def same(workdir, alone):
  """What came of several processes is what came of one."""
  before, report = alone
  found = experiment.report.read_json(workdir / 'report.json')
  first, second = (
    dict(np.load(x / 'unlearned/row/selection.npz')) for x in (before, workdir)
  )
  chex.assert_trees_all_equal(first, second)
  for name, values in report['models'].items():
    model = found['models'][name]
    for split in ('forget', 'retain', 'test'):
      assert model['accuracy'][split] == pytest.approx(
        values['accuracy'][split], abs=0.05
      )
    assert model['probes']['spd_gan']['noise_l2'] == pytest.approx(
      values['probes']['spd_gan']['noise_l2'], rel=0.05
    )
  return found


def test_two_processes_give_the_numbers_of_one_though_one_is_killed(
  data, alone, tmp_path
):
  work = tmp_path / 'work'
  codes, said, seconds = start(2, work, data, alone[0], 'row', '6')
  assert codes[1] == -9 and codes[0] not in (0, None), said
  # Twice the heartbeat's time, which is 10 seconds.
  assert seconds < 20
  assert (work / 'unlearned/.unfinished-row/4.json').exists(), said
  shutil.copytree(work, tmp_path / 'other')

  codes, said, _ = start(2, work, data, alone[0])
  assert codes == [0, 0], said
  assert 'row: going on after step 4' in said
  report = same(work, alone)
  assert report['environment']['process_count'] == 2

  codes, said, _ = start(1, tmp_path / 'other', data, alone[0])
  assert codes == [0], said
  assert 'row: going on after step 4' in said
  report = same(tmp_path / 'other', alone)
  (changed,) = report['models']['row']['changes']
  assert changed['what']['processes'] == [2, 1]


def test_one_process_waits_for_no_other():
  assert not hosts.several() and hosts.leads()
  assert hosts.any_of(True, False) == (True, False)
  assert hosts.led(lambda x: x + 1)(1) == 2
  hosts.join({**SETTINGS, 'coordinator': ''})


@pytest.mark.parametrize(
  'changes, words',
  [
    ({'coordinator': 'a:1', 'index': 2}, r'index is 2 and hosts\.count 2'),
    ({'coordinator': 'auto'}, 'auto was not joined'),
    ({'coordinator': 'nowhere'}, 'must be HOST:PORT'),
  ],
)
def test_what_cannot_be_joined_is_a_sentence(changes, words):
  with pytest.raises(InputError, match=words):
    hosts.join({**SETTINGS, **changes})
