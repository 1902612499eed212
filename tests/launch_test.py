"""The launcher as its users meet it: a process, its exit code, its files."""

import functools
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import types
from concurrent import futures
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxunlearn import launch as launcher
from jaxunlearn import machine
from jaxunlearn.report import schema
from tests.forked import Forks

ROOT = Path(__file__).parents[1]
SMALL = (
  '--config.data.num_train=200',
  '--config.data.num_test=50',
  '--config.model.width=4',
  '--config.train.epochs=2',
  '--config.unlearn.epochs=1',
  '--config.train.batch_size=64',
  '--config.unlearn.batch_size=64',
)
DIGITS = ('--config=configs/digits_topk.py', *SMALL)
ONE_ROW = ('--config=tests/one_row.py:random_k', *SMALL)


def launch(*flags, **env):
  return subprocess.run(
    [sys.executable, '-m', 'jaxunlearn.launch', *map(str, flags)],
    cwd=ROOT,
    env=os.environ | {'JAX_PLATFORMS': 'cpu', 'COLUMNS': '100'} | env,
    capture_output=True,
    text=True,
    timeout=300,
  )


@pytest.fixture(scope='module')
def start():
  """`launch`, from a process that has imported what it needs."""
  forks = Forks(JAX_PLATFORMS='cpu', COLUMNS='100')
  yield functools.partial(forks.run, 'jaxunlearn.launch')
  forks.close()


def contents(folder):
  return {
    str(path.relative_to(folder)): path.read_bytes()
    for path in sorted(folder.rglob('*'))
    if path.is_file()
  } | {str(x.relative_to(folder)): b'' for x in folder.rglob('*') if x.is_dir()}


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """A workdir, and the process that made it."""
  folder = tmp_path_factory.mktemp('launch')
  workdir, cache = folder / 'w', folder / 'cache'
  flags = *DIGITS, f'--workdir={workdir}'
  process = launch(*flags, JAX_COMPILATION_CACHE_DIR=str(cache))
  # What it has compiled the other tests need not.
  shared = os.environ['JAX_COMPILATION_CACHE_DIR']
  shutil.copytree(cache, shared, dirs_exist_ok=True)
  return workdir, process


def test_a_second_process_compiles_next_to_nothing(finished, tmp_path):
  first, _ = finished
  process = launch(
    *DIGITS,
    f'--workdir={tmp_path / "w"}',
    JAX_COMPILATION_CACHE_DIR=str(first.parent / 'cache'),
  )
  assert process.returncode == 0, process.stderr

  def read(workdir):
    return json.loads((workdir / 'report.json').read_text())['models']

  before, after = read(first), read(tmp_path / 'w')
  spent = [
    sum(model['seconds']['compile'] for model in models.values())
    for models in (before, after)
  ]
  assert spent[1] < 0.3 * spent[0]
  for name, model in before.items():
    assert after[name]['checkpoint_sha256'] == model['checkpoint_sha256']


def test_a_run_ends_with_a_table_and_a_valid_report(finished):
  workdir, process = finished
  assert process.returncode == 0, process.stderr
  assert process.stderr == ''
  report = json.loads((workdir / 'report.json').read_text())
  schema.validate(report)
  names = ['original', 'retrained', 'finetune', 'top_k']
  names += ['random_k', 'random_top_k']
  assert list(report['models']) == names
  for name in names:
    assert name in process.stdout
  assert {p.name for p in workdir.iterdir()} == {
    *('config.json', 'metrics.jsonl', 'report.json', 'report.md'),
    *('original', 'retrained', 'unlearned', 'figures'),
  }
  assert (workdir / 'unlearned/top_k/selection.npz').exists()
  assert report['models']['top_k']['selected']['leaves'] == 4
  assert report['models']['finetune']['selected']['scalars'] == 0
  assert report['models']['original']['acceleration'] is None


def test_metrics_hold_one_line_for_each_epoch(finished):
  lines = (finished[0] / 'metrics.jsonl').read_text().splitlines()
  places = [(line['model'], line['epoch']) for line in map(json.loads, lines)]
  assert len(places) == len(set(places)) == 2 + 2 + 4 * 1


def test_a_second_start_does_nothing_again(finished, start):
  workdir, _ = finished
  before = contents(workdir)
  process = start(*DIGITS, f'--workdir={workdir}')
  assert process.returncode == 0, process.stderr
  assert process.stdout.count('done before') == 6
  assert ': compiling' not in process.stdout
  assert contents(workdir) == before


def test_a_stopped_run_goes_on_where_it_was(finished, tmp_path, start):
  workdir, _ = finished
  shutil.copytree(workdir, tmp_path, dirs_exist_ok=True)
  for folder in ('unlearned/top_k', 'retrained'):
    shutil.rmtree(tmp_path / folder)
  process = start(*DIGITS, f'--workdir={tmp_path}')
  assert process.returncode == 0, process.stderr
  assert process.stdout.count('done before') == 4
  ours, theirs = (
    json.loads((folder / 'report.json').read_text())['models']
    for folder in (workdir, tmp_path)
  )
  for name in ours:
    for key in ('accuracy', 'similarity', 'selected', 'checkpoint_sha256'):
      assert ours[name][key] == theirs[name][key]
  lines = (tmp_path / 'metrics.jsonl').read_text().splitlines()
  assert len(lines) == 8


def test_rows_may_be_added_and_the_reference_left_for_later(tmp_path, start):
  workdir = f'--workdir={tmp_path / "w"}'
  first = start(*ONE_ROW, workdir, '--config.reference=none')
  assert first.returncode == 0, first.stderr
  report = json.loads((tmp_path / 'w/report.json').read_text())
  assert 'retrained' not in report['models']
  for values in report['models'].values():
    assert values['similarity'] is None
    assert values['gap_to_retrained'] is None
    assert values['acceleration'] is None
  assert 'compare accuracy on forget with accuracy on test' in first.stdout
  # A config that lists the new row alone: the report keeps the other.
  second = start('--config=tests/one_row.py:finetune', *SMALL, workdir)
  assert second.returncode == 0, second.stderr
  assert second.stdout.count('done before') == 2
  report = json.loads((tmp_path / 'w/report.json').read_text())
  assert set(report['models']) == {
    *('original', 'retrained', 'random_k', 'finetune')
  }
  assert report['models']['random_k']['similarity'] is not None


def test_a_given_checkpoint_is_unlearned_without_retraining(
  finished, tmp_path, start
):
  (tmp_path / 'forget.txt').write_text('3\n14\n')
  full = (
    '--config=tests/one_row.py:finetune',
    '--config.model.width=4',
    '--config.unlearn.epochs=1',
  )
  process = start(
    *full,
    f'--config.original.checkpoint={finished[0]}',
    '--config.reference=none',
    '--config.forget.kind=indices',
    f'--config.forget.path={tmp_path / "forget.txt"}',
    f'--workdir={tmp_path / "w"}',
  )
  assert process.returncode == 0, process.stderr
  report = json.loads((tmp_path / 'w/report.json').read_text())
  theirs = json.loads((finished[0] / 'report.json').read_text())
  assert report['original']['from'] == str(finished[0])
  assert report['request']['num_forget'] == 2
  assert (
    report['models']['original']['checkpoint_sha256']
    == theirs['models']['original']['checkpoint_sha256']
  )
  assert report['models']['original']['seconds']['total'] is None


def begun(*flags):
  """A process of the launcher that has begun to train, and what it said."""
  process = subprocess.Popen(
    [sys.executable, '-m', 'jaxunlearn.launch', *map(str, flags)],
    cwd=ROOT,
    env=os.environ | {'JAX_PLATFORMS': 'cpu'},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  said = ''
  for line in process.stdout:
    said += line
    if line.startswith('original: epoch'):
      return process, said
  raise AssertionError(process.stderr.read())


def test_a_stopped_run_says_how_to_go_on_and_a_second_is_refused(
  tmp_path, start
):
  flags = (*DIGITS, f'--workdir={tmp_path}', '--config.train.epochs=9999')
  process, _ = begun(*flags)
  second = start(*flags)
  assert second.returncode == 2
  assert f'{tmp_path} is in use by process {process.pid} on ' in second.stderr
  assert second.stderr.count('\n') == 1
  process.send_signal(signal.SIGTERM)
  _, told = process.communicate(timeout=60)
  assert process.returncode == 75
  assert 'original is saved after step ' in told
  assert told.endswith('the same command goes on from the last checkpoint.\n')
  killed, said = begun(*flags)
  assert 'original: going on after step' in said
  killed.kill()
  killed.communicate()
  # It left its lock, which is told of, and nothing in the way.
  process, said = begun(*flags)
  assert f'process {killed.pid} on ' in said
  process.send_signal(signal.SIGINT)
  _, told = process.communicate(timeout=60)
  assert process.returncode == 75
  assert told.endswith('the same command goes on from the last checkpoint.\n')


def test_a_disk_that_is_full_ends_in_a_sentence(tmp_path, start):
  # Of this width a checkpoint is cut too, and not a figure alone.
  flags = (*ONE_ROW, f'--workdir={tmp_path}', '--config.model.width=16')
  # What is compiled cannot be written either, of which nothing is said.
  compiled = {'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0'}
  full = subprocess.run(
    ['bash', '-c', 'ulimit -f 12; exec "$@"', 'bash']
    + [sys.executable, '-m', 'jaxunlearn.launch', *map(str, flags)],
    cwd=ROOT,
    env=os.environ | compiled | {'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert full.returncode == 2, full.stderr
  assert full.stderr.startswith('jaxunlearn: there is no room left to write (')
  assert full.stderr.count('\n') == 1
  assert 'File too large); ' in full.stderr
  assert 'raise the limit on the size of a file (ulimit -f), ' in full.stderr
  process = start(*flags)
  assert process.returncode == 0, process.stderr
  assert json.loads((tmp_path / 'report.json').read_text())['models']


SMALL_DISK = """
mount -t tmpfs -o size=600k tmpfs "$WORK" || exit 99
"$@"
full=$?
mount -o remount,size=50m "$WORK"
echo ENLARGED
"$@" 2> /dev/null || exit 98
exit $full
"""


def test_a_small_disk_ends_in_a_sentence_and_goes_on_when_it_grows(tmp_path):
  flags = (*ONE_ROW, '--config.model.width=16', '--config.save.steps=1')
  process = subprocess.run(
    ['unshare', '-m', 'bash', '-c', SMALL_DISK, 'bash']
    + [sys.executable, '-m', 'jaxunlearn.launch', *flags]
    + ['--config.reference=none', f'--workdir={tmp_path}/w'],
    cwd=ROOT,
    env=os.environ | {'JAX_PLATFORMS': 'cpu', 'WORK': str(tmp_path)},
    capture_output=True,
    text=True,
    timeout=300,
  )
  if process.returncode in (1, 99):
    pytest.skip(f'no disk of its own can be mounted here: {process.stderr}')
  assert process.returncode == 2, process.stderr
  assert process.stderr.count('\n') == 1
  assert 'write (No space left on device); ' in process.stderr
  assert 'is kept: free some space, and run the' in process.stderr
  _, again = process.stdout.split('ENLARGED\n')
  assert 'original: going on after step' in again
  assert f'Written to {tmp_path}/w: report.md' in again


def test_threads_of_a_write_that_failed_leave_no_traceback(capsys):
  def raised(error):
    return types.SimpleNamespace(
      **{'exc_type': type(error), 'exc_value': error, 'exc_traceback': None},
      **{'err_msg': None, 'object': None},
    )

  with pytest.MonkeyPatch.context() as patched:
    said = []
    patched.setattr(sys, '__unraisablehook__', said.append)
    patched.setattr(sys, 'unraisablehook', None)
    patched.setattr(launcher, '_run', lambda noted: None)
    # Of the process that runs the tests it would change the memory for good.
    patched.setattr(machine, 'keep_memory', lambda: said.append('kept'))
    launcher.main([])
    assert said.pop() == 'kept'
    other = raised(RuntimeError('a bug'))
    for one in (raised(RuntimeError('Event loop is closed')), other):
      sys.unraisablehook(one)
  assert capsys.readouterr().err == ''
  assert said == [other]


def test_the_original_is_removed_on_request(tmp_path, start):
  (tmp_path / 'unlearned/.unfinished-no_longer_asked_for').mkdir(parents=True)
  (tmp_path / 'last_good/no_longer_asked_for').mkdir(parents=True)
  flags = (*ONE_ROW, '--config.original.keep=False', f'--workdir={tmp_path}')
  process = start(*flags)
  assert process.returncode == 0, process.stderr
  assert [p.name for p in (tmp_path / 'original').iterdir()] == ['result.json']
  assert 'was removed' in process.stdout
  assert not list(tmp_path.rglob('*no_longer_asked_for'))
  report = (tmp_path / 'report.json').read_bytes()
  assert start(*flags).returncode == 0
  assert (tmp_path / 'report.json').read_bytes() == report
  # What is gone stays gone, whatever is asked for now.
  later = start(*flags, '--config.original.keep=True')
  assert 'was removed' in later.stdout
  shutil.rmtree(tmp_path / 'unlearned/random_k')
  process = start(*flags)
  assert process.returncode == 2
  assert 'no longer holds a model' in process.stderr


def test_help_explains_itself_and_succeeds():
  process = launch('--help')
  assert process.returncode == 0
  assert '--config=configs/NAME.py' in process.stdout


@pytest.fixture(scope='module')
def files(tmp_path_factory, finished):
  """A folder of files that are wrong in one way each."""
  folder = tmp_path_factory.mktemp('bad')
  x = np.zeros((40, 8, 8, 1), np.uint8)
  x[:, 0, 0] = np.arange(40)[:, None]
  y = np.arange(40) % 4
  arrays = {'x_train': x, 'y_train': y, 'x_test': x[:9], 'y_test': y[:9]}
  broken = {
    'fine': {},
    'nan': {'x_train': np.full((40, 8, 8, 1), np.nan, np.float32)},
    'label': {'y_test': y[:9] + 90},
    'shape': {'y_train': y[:30]},
    'pickled': {'y_train': np.array([{}] * 40, object)},
    'flat': {'x_train': x.reshape(40, -1), 'x_test': x[:9].reshape(9, -1)},
  }
  for name, change in broken.items():
    np.savez(folder / f'{name}.npz', **(arrays | change))
  whole = (folder / 'fine.npz').read_bytes()
  (folder / 'cut.npz').write_bytes(whole[: len(whole) // 2])
  requests = {
    'range': '7\n5000\n',
    'twice': '7\n7\n',
    'words': '7\nseven\n',
    'empty': '',
    'all': '\n'.join(map(str, range(1437))),
  }
  for name, text in requests.items():
    (folder / f'{name}.txt').write_text(text)
  np.save(folder / 'mask.npy', np.ones(10, bool))
  (folder / 'no_config.py').write_text('x = 1\n')
  (folder / 'syntax.py').write_text('def get_config(:\n')
  (folder / 'odd.py').write_text('def get_config():\n  return 5\n')
  (folder / 'probes.py').write_text(
    'from configs import common, digits_topk\n'
    'def get_config():\n'
    '  config = digits_topk.get_config().unlock()\n'
    '  config.probes = common.rows({"spd_gan": {"num_steps": 0}})\n'
    '  return config\n'
  )
  (folder / 'plain.py').write_text('def get_config():\n  return {"a": 1}\n')
  (folder / 'part.py').write_text(
    'from ml_collections import ConfigDict\n'
    'def get_config():\n'
    '  return ConfigDict({"data": {}})\n'
  )
  (folder / 'no_probe.py').write_text(
    'from configs import common, digits_topk\n'
    'def get_config():\n'
    '  config = digits_topk.get_config().unlock()\n'
    '  config.probes = common.rows({"spd_gan": None})\n'
    '  return config\n'
  )
  (folder / 'list').mkdir()
  ocp.PyTreeCheckpointer().save(folder / 'list/a', [np.ones(2)])
  (folder / 'lines').mkdir()
  (folder / 'lines/metrics.jsonl').write_text('[1]\n')
  (folder / 'file').write_text('')
  damaged = folder / 'damaged'
  shutil.copytree(finished[0] / 'original', damaged)
  for path in (damaged / 'd').iterdir():
    path.write_bytes(path.read_bytes()[:50])
  return folder


INDICES = '--config.forget.kind=indices'
BAD = {
  'no config': ([], '--config is missing'),
  'no such config': (['--config=configs/none.py'], 'does not exist'),
  'config without function': (['--config={}/no_config.py'], 'get_config()'),
  'config of another kind': (['--config={}/odd.py'], 'a ConfigDict'),
  'config with an error': (['--config={}/syntax.py'], 'cannot be loaded'),
  'config of a plain dict': (['--config={}/plain.py'], 'a ConfigDict'),
  'part of a config': (['--config={}/part.py'], 'it lacks model, train'),
  'a probe without settings': (
    ['--config={}/no_probe.py'],
    'must hold its settings',
  ),
  'a checkpoint of a list': (
    [*DIGITS, '--config.original.checkpoint={}/list/a'],
    'at the top: save the variables',
  ),
  'config argument': (
    ['--config=configs/resnet18_topk.py:scalrs'],
    'takes :leaves or :scalars',
  ),
  'unknown flag': ([*DIGITS, '--confg=1'], 'Did you mean: config'),
  'stray word': ([*DIGITS, 'stray'], 'not a flag'),
  'typo in a key': ([*DIGITS, '--config.train.epoch=1'], "mean 'epochs'"),
  'typo in a section': ([*DIGITS, '--config.trian.seed=1'], "mean 'train'"),
  'not a number': ([*DIGITS, '--config.train.epochs=ten'], 'whole number'),
  'not a flag': ([*DIGITS, '--config.original.keep=no'], 'True nor False'),
  'a key that a row does not list': (
    [*DIGITS, '--config.recipes.top_k.epochs=2'],
    'only the keys that its config lists',
  ),
  'a section': ([*DIGITS, '--config.original=5'], 'is a section'),
  'no epochs': ([*DIGITS, '--config.train.epochs=0'], 'must be from 1'),
  'unknown network': ([*DIGITS, '--config.model.name=resnet81'], 'resnet18?'),
  'a width that a network cannot take': (
    [*DIGITS, '--config.model.name=googlenet', '--config.model.width=12'],
    'take a multiple of 8',
  ),
  'images too small for a network': (
    [*DIGITS, '--config.model.name=vgg19', '--config.model.width=4'],
    'this network needs larger images',
  ),
  'a setting that every cell has of its own': (
    ['--config=configs/paper/table2.py:small', '--config.model.width=8'],
    'model.width has no effect, because every cell',
  ),
  'a size that the paper has not': (
    ['--config=configs/paper/table2.py:tiny'],
    'takes :full or :small',
  ),
  'more devices than there are': (
    [*DIGITS, '--config.mesh.data=9'],
    'there are 1 device(s)',
  ),
  'a mean that no float holds': (
    [*DIGITS, f'--config.data.mean=({10**400},)', '--config.data.std=(1.0,)'],
    'must hold finite numbers',
  ),
  'a figure that is a list': (
    ['--config=configs/paper/table2.py:small', '--config.paper=([1],)'],
    'config.paper names [1]',
  ),
  'a name that is no UTF-8': (
    [*DIGITS, '--config.data.source=npz:{}/caf\udce9.npz'],
    'bytes that are no UTF-8',
  ),
  'seconds below 0': ([*DIGITS, '--config.save.seconds=-1'], 'from 0 to 1e+09'),
  'part of a step': ([*DIGITS, '--config.save.steps=0.5'], 'whole number'),
  'a probe without steps': (['--config={}/probes.py'], 'must be from 1 to'),
  'damaged metrics': (
    [*DIGITS, '--workdir={}/lines'],
    'metrics.jsonl is damaged: remove',
  ),
  'unknown recipe': (
    [*DIGITS, '--config.recipes.top_k.name=topk'],
    'did you mean top_k?',
  ),
  'k of too many': (
    [*DIGITS, '--config.recipes.top_k.k=999'],
    'not between 0 and the',
  ),
  'unknown source': (
    [*DIGITS, '--config.data.source=digit'],
    'nearest is digits',
  ),
  'no such npz': (
    [*DIGITS, '--config.data.source=npz:{}/no.npz'],
    'No such file',
  ),
  'cut npz': ([*DIGITS, '--config.data.source=npz:{}/cut.npz'], 'is damaged,'),
  'pickled npz': (
    [*DIGITS, '--config.data.source=npz:{}/pickled.npz'],
    'holds pickled objects; write',
  ),
  'NaN pixels': ([*DIGITS, '--config.data.source=npz:{}/nan.npz'], 'NaN'),
  'test label': ([*DIGITS, '--config.data.source=npz:{}/label.npz'], 'y_test'),
  'unequal': ([*DIGITS, '--config.data.source=npz:{}/shape.npz'], 'y_train'),
  'flat images': ([*DIGITS, '--config.data.source=npz:{}/flat.npz'], 'x_train'),
  'not prepared': (
    [*DIGITS, '--config.data.source=tfds:cifar10', '--config.data.dir={}'],
    'is not prepared in',
  ),
  'too much data': ([*DIGITS, '--config.data.num_train=9999'], 'to 1437'),
  'mean of two': (
    [*DIGITS, '--config.data.mean=(0.5,0.5)', '--config.data.std=(1.0,1.0)'],
    '1 channel',
  ),
  'fraction': ([*DIGITS, '--config.forget.fraction=1.5'], 'from 0 to 1'),
  'no such class': (
    [*DIGITS, '--config.forget.kind=class', '--config.forget.classes=(12,)'],
    'holds 12, but',
  ),
  'no request file': (
    [*DIGITS, INDICES, '--config.forget.path={}/none.txt'],
    'forget.path must name',
  ),
  'out of range': (
    [*DIGITS, INDICES, '--config.forget.path={}/range.txt'],
    'line 2: 5000 is no position',
  ),
  'twice': (
    [*DIGITS, INDICES, '--config.forget.path={}/twice.txt'],
    '7 is there twice',
  ),
  'words': (
    [*DIGITS, INDICES, '--config.forget.path={}/words.txt'],
    "'seven' is no",
  ),
  'empty': (
    [*DIGITS, INDICES, '--config.forget.path={}/empty.txt'],
    'requests nothing',
  ),
  'everything': (
    [DIGITS[0], INDICES, '--config.forget.path={}/all.txt'],
    'leave some to retain',
  ),
  'mask': (
    [*DIGITS, INDICES, '--config.forget.path={}/mask.npy'],
    'mask of 10',
  ),
  'no checkpoint': (
    [*DIGITS, '--config.original.checkpoint={}/none'],
    'does not exist',
  ),
  'damaged checkpoint': (
    [*DIGITS, '--config.original.checkpoint={}/damaged'],
    'is damaged or cannot',
  ),
  'other network': (
    [
      *DIGITS,
      '--config.original.checkpoint={w}/original',
      '--config.model.width=5',
    ],
    'conv1/kernel',
  ),
  'workdir of nobody': (
    [*DIGITS, '--workdir=~nosuchuser/x'],
    'names a user without a home folder',
  ),
  'cache of nobody': (
    [*DIGITS, '--config.cache_dir=~nosuchuser/x'],
    'names a user without a home folder',
  ),
  'workdir in a file': ([*DIGITS, '--workdir={}/file'], 'cannot be written'),
  'refused': (
    [*DIGITS, '--workdir={w}', '--config.unlearn.epochs=2'],
    'was made with 1',
  ),
}


def test_no_words_that_are_looked_for_are_in_the_flags_themselves():
  for name, (flags, words) in BAD.items():
    assert words not in ' '.join(flags), name


def test_each_bad_input_is_one_sentence_exit_code_2_and_changes_nothing(
  files, finished, tmp_path
):
  folders = [finished[0], files, tmp_path]
  # Two run at a time, of which neither may see it as its own to remove.
  (tmp_path / 'runs').mkdir()
  before = list(map(contents, folders))

  def run(cases):
    forks = Forks(JAX_PLATFORMS='cpu', COLUMNS='100')
    for name in cases:
      flags = [flag.format(files, w=finished[0]) for flag in BAD[name][0]]
      workdir = f'--workdir={tmp_path / "runs" / name.replace(" ", "_")}'
      yield name, forks.run('jaxunlearn.launch', workdir, *flags)
    forks.close()

  names = list(BAD)
  with futures.ThreadPoolExecutor(2) as pool:
    halves = pool.map(lambda x: list(run(x)), (names[::2], names[1::2]))
  for name, process in itertools.chain(*halves):
    words = BAD[name][1]
    said = f'{name}: {process.returncode} {process.stderr}'
    assert process.returncode == 2, said
    assert process.stderr.count('\n') == 1, said
    assert process.stderr.startswith('jaxunlearn: '), said
    assert words in process.stderr, said
    assert 'Traceback' not in process.stdout + process.stderr, said
  assert list(map(contents, folders)) == before


def test_what_training_alone_can_tell_is_one_sentence_too(tmp_path, start):
  process = start(
    *(*DIGITS, '--config.train.optimizer=sgd', '--config.train.epochs=9'),
    *('--config.train.learning_rate=1000.0', f'--workdir={tmp_path}'),
  )
  assert process.returncode == 2, process.stderr
  assert process.stderr.count('\n') == 1
  assert 'original diverged: ' in process.stderr
  assert 'lower train.learning_rate' in process.stderr
