"""Several processes over loopback: the numbers of one, and what a kill does."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import chex
import numpy as np
import pytest
from jax.experimental import multihost_utils

from jaxunlearn import experiment, hosts, memory
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


def address():
  with socket.socket() as free:
    free.bind(('localhost', 0))
    return f'localhost:{free.getsockname()[1]}'


def begin(module, *arguments):
  return subprocess.Popen(
    [sys.executable, '-m', module, *map(str, arguments)],
    cwd=ROOT,
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )


def start(count, model, workdir, data, original, *killed):
  """So many processes, of which the last one kills itself; how each ended."""
  coordinator = address() if count > 1 else ''
  processes = []
  for index in range(count):
    where = workdir, data, original / 'original', model
    last = killed if index == count - 1 else ()
    own = coordinator, count, index, *last
    processes.append(begin('tests.hosted', *where, *own))
  *others, last = processes
  said = [last.communicate(timeout=300)[0]]
  ended = time.monotonic()
  said += [process.communicate(timeout=300)[0] for process in others]
  codes = [process.returncode for process in processes]
  return codes, '\n'.join(said), time.monotonic() - ended


def launch(workdir, *flags, own=('', '')):
  """Two processes as a user starts them, on data that are resident."""
  coordinator = address()
  return [
    begin(
      'jaxunlearn.launch',
      '--config=configs/digits_topk.py',
      f'--workdir={workdir}',
      f'--config.hosts.coordinator={coordinator}',
      '--config.hosts.count=2',
      f'--config.hosts.index={index}',
      '--config.hosts.heartbeat_timeout_seconds=10',
      *filter(None, (*flags, own[index])),
    )
    for index in range(2)
  ]


def wait_for_epochs(workdir, processes):
  metrics, until = workdir / 'metrics.jsonl', time.monotonic() + 120
  while not (metrics.exists() and metrics.read_text().count('\n') > 1):
    if time.monotonic() > until or any(x.poll() is not None for x in processes):
      for process in processes:
        process.kill()
      pytest.fail(str(ends(processes)))
    time.sleep(0.1)


def ends(processes):
  """Their exit codes, and of each what jaxunlearn itself said at the end."""
  said = [process.communicate(timeout=300)[0] for process in processes]
  lines = [
    [line for line in text.splitlines() if line.startswith('jaxunlearn')]
    for text in said
  ]
  return [process.returncode for process in processes], lines, said


def same(workdir, alone):
  """What came of several processes is what came of one."""
  before, report = alone
  found = experiment.report.read_json(workdir / 'report.json')
  first, second = (
    dict(np.load(x / 'unlearned/row/selection.npz')) for x in (before, workdir)
  )
  chex.assert_trees_all_equal(first, second)
  logits = 'unlearned/row/logits.npz'
  chex.assert_trees_all_close(
    *(dict(np.load(x / logits)) for x in (before, workdir)), atol=5e-3
  )
  for name, values in report['models'].items():
    model = found['models'][name]
    for split in ('forget', 'retain', 'test'):
      assert model['accuracy'][split] == pytest.approx(
        values['accuracy'][split], abs=0.05
      )
    if found['environment']['process_count'] > 1:
      assert model['probes']['spd_gan']['noise_l2'] == pytest.approx(
        values['probes']['spd_gan']['noise_l2'], rel=0.05
      )
  return found


def test_two_processes_give_the_numbers_of_one_though_one_is_killed(
  data, alone, tmp_path
):
  work = tmp_path / 'work'
  codes, said, seconds = start(2, 4, work, data, alone[0], 'row', '6')
  # JAX's abort, or what it raised in ours; no error of Python's.
  assert codes[1] == -9 and codes[0] in (1, -6), said
  assert codes[0] == -6 or 'JaxRuntimeError' in said, said
  # Twice the heartbeat's time, which is 10 seconds.
  assert seconds < 20
  assert (work / 'unlearned/.unfinished-row/4.json').exists(), said
  shutil.copytree(work, tmp_path / 'other')

  codes, said, _ = start(2, 8, work, data, alone[0])
  assert codes == [0, 0], said
  assert 'row: going on after step 4' in said
  report = same(work, alone)
  assert report['environment']['process_count'] == 2

  codes, said, _ = start(1, 4, tmp_path / 'other', data, alone[0])
  assert codes == [0], said
  assert 'row: going on after step 4' in said
  report = same(tmp_path / 'other', alone)
  (changed,) = report['models']['row']['changes']
  assert changed['what']['processes'] == [2, 1]


def test_a_signal_to_one_process_saves_and_ends_all(tmp_path):
  processes = launch(tmp_path, '--config.train.epochs=10000')
  wait_for_epochs(tmp_path, processes)
  processes[1].send_signal(signal.SIGTERM)
  codes, lines, said = ends(processes)
  assert codes == [75, 75], said
  assert lines[0][-1].startswith('jaxunlearn: original is saved after step')
  assert lines[1][-1].startswith('jaxunlearn (process 1): original is saved')
  assert list((tmp_path / '.unfinished-original').glob('*.json'))


@pytest.mark.parametrize(
  'index, number',
  [(0, signal.SIGKILL), (1, signal.SIGSTOP)],
)
def test_a_process_that_is_gone_is_told_of(tmp_path, index, number):
  processes = launch(tmp_path, '--config.train.epochs=10000')
  wait_for_epochs(tmp_path, processes)
  gone, other = processes[index], processes[1 - index]
  gone.send_signal(number)
  began = time.monotonic()
  try:
    text, _ = other.communicate(timeout=60)
  finally:
    gone.kill()
    other.kill()
    gone.communicate()
  # Twice the heartbeat's time; of one that stands still nothing else tells.
  assert time.monotonic() - began < 20
  # Our sentence, or JAX's own abort, whichever comes first.
  assert other.returncode in (69, -6), text
  assert other.returncode == -6 or 'is gone' in text, text


@pytest.mark.skipif(
  not (ROOT / '.venv/installed').exists(),
  reason='launch/processes.sh would make a .venv',
)
def test_who_started_processes_is_told_that_one_has_died(tmp_path):
  script = subprocess.Popen(
    ['bash', 'launch/processes.sh', '2', '--config=configs/digits_topk.py']
    + [f'--workdir={tmp_path}', '--config.train.epochs=10000']
    + ['--config.hosts.heartbeat_timeout_seconds=10'],
    cwd=ROOT,
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
    start_new_session=True,
  )
  try:
    wait_for_epochs(tmp_path, [script])
    children = f'/proc/{script.pid}/task/{script.pid}/children'
    os.kill(int(Path(children).read_text().split()[1]), signal.SIGKILL)
    said, _ = script.communicate(timeout=60)
  finally:
    with contextlib.suppress(ProcessLookupError):
      os.killpg(script.pid, signal.SIGKILL)
  assert script.returncode not in (0, 2, 75), said
  assert 'jaxunlearn: a process of this run has died (exit code' in said


def test_a_mistake_is_a_sentence_of_each_process(tmp_path):
  codes, lines, said = ends(launch(tmp_path, '--config.data.num_train=9999'))
  assert codes == [2, 2], said
  for found in lines:
    assert len(found) == 1 and 'data.num_train is 9999' in found[0]
  assert not any('Traceback' in text for text in said)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('where', ['HOST:PORT', 'auto'])
def test_processes_agree_on_what_one_of_them_knows(where, monkeypatch):
  here, processes = address(), []
  for index in range(2):
    if where == 'auto':
      # As Open MPI would say it. JAX makes its port of the number of the job.
      port = int(here.split(':')[1]) % 4096
      job = f'{port * 4096}.0;tcp://127.0.0.1:1'
      monkeypatch.setenv('OMPI_MCA_orte_hnp_uri', job)
      monkeypatch.setenv('OMPI_COMM_WORLD_SIZE', '2')
      for name in ('RANK', 'LOCAL_RANK'):
        monkeypatch.setenv(f'OMPI_COMM_WORLD_{name}', str(index))
    said = 'auto' if where == 'auto' else here
    processes.append(begin('tests.agreeing', said, index))
  codes, _, said = ends(processes)
  assert codes == [0, 0], said
  first, second = (
    [x[5:] for x in text.splitlines() if x.startswith('said ')] for text in said
  )
  agreed = '(True, False, True) [7, 3]'
  assert first == [
    agreed,
    'done',
    'InputError the disk is full.',
    'InputError the disk is full.',
    'KeyboardInterrupt ',
    'InputError mesh.data 2 and mesh.model 1 t',
    'True 2',
    'True',
  ]
  assert second == [
    agreed,
    'None',
    'Unavailable the first process of this run ',
    'Unavailable another process of this run ha',
    'KeyboardInterrupt ',
    'InputError mesh.data 2 and mesh.model 1 t',
    'True 2',
    'True',
  ]


def test_processes_with_other_settings_are_refused(tmp_path):
  processes = launch(
    tmp_path, own=('--config.train.seed=0', '--config.train.seed=1')
  )
  codes, lines, said = ends(processes)
  assert codes == [2, 2], said
  assert all('not have the same settings: ' in x for (x,) in lines), said
  assert not list(tmp_path.iterdir())


def test_processes_of_a_host_share_its_memory(monkeypatch):
  whole = memory.size()
  monkeypatch.setattr(hosts, '_beside', 4)
  assert memory.size() == whole // 4
  with pytest.raises(InputError, match=r'4 processes here: .*, or fewer proc'):
    memory.check_fits('it', whole // 2)


def test_a_process_counts_those_of_its_own_host(monkeypatch):
  def gathered(here):
    return np.array([here, 7, here], np.uint32)

  monkeypatch.setattr(multihost_utils, 'process_allgather', gathered)
  assert hosts._count_beside() == 2


def test_one_process_waits_for_no_other():
  assert not hosts.several() and hosts.leads()
  assert hosts.any_of(True, False) == (True, False)
  assert hosts.led(lambda x: x + 1)(1) == 2
  hosts.join({**SETTINGS, 'coordinator': ''})
  assert hosts.beside() == 1


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
