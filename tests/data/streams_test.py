"""Images that stay on disk: the same batches, in less memory."""

import io
import re
import subprocess
import sys
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
from jax.sharding import Mesh
from PIL import Image
from rich.console import Console

from configs import common, digits_topk
from jaxunlearn import experiment, mesh, predict, problem
from jaxunlearn.data import batches, moments, sources, streams, tfds
from jaxunlearn.errors import InputError
from jaxunlearn.progress import Progress
from jaxunlearn.types import as_source
from tests.data.tfds_test import image_feature, prepare

SIZE = 90


def png(image):
  file = io.BytesIO()
  Image.fromarray(image).save(file, 'png')
  return file.getvalue()


def make(root, images, **changes):
  """A TFDS set of these images, out of order."""
  order = np.random.default_rng(1).permutation(len(images))
  examples = [
    {'id': f'{i:06}'.encode(), 'image': images[i], 'label': int(i % 3)}
    for i in order
  ]
  feature = image_feature(8, 8)
  return prepare(root, examples=examples, image=feature, **changes)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
  root = tmp_path_factory.mktemp('tfds')
  images = np.random.default_rng(0).integers(0, 256, (SIZE, 8, 8), np.uint8)
  make(root, [png(x) for x in images])
  return root


@pytest.fixture
def both(root):
  return [
    sources.load('tfds:tiny', str(root), stream)
    for stream in ('never', 'always')
  ]


def test_what_is_stored_is_what_is_read(both):
  held, stored = both
  assert stored.x_train.shape == held.x_train.shape
  assert stored.x_train.nbytes == held.x_train.nbytes
  some = np.array([5, 3, 88])
  np.testing.assert_array_equal(stored.x_train[some], held.x_train[some])
  part = stored.x_train.at(some)
  assert part.shape == (3, 8, 8, 1)
  np.testing.assert_array_equal(part[np.array([2, 0])], held.x_train[[88, 5]])
  np.testing.assert_array_equal(stored.y_train, held.y_train)
  assert sources.sha256(stored) == sources.sha256(held)
  chex.assert_trees_all_equal(
    *(moments.per_channel(x.x_train) for x in (held, stored))
  )


@pytest.mark.parametrize('shape', [None, (8, 1), (2, 4)])
def test_batches_are_those_of_what_is_resident(both, shape):
  held, stored = both
  devices = mesh.make(*shape) if shape else None
  resident, stream = (
    mesh.spread(devices, x)
    for x in (
      as_source({'image': held.x_train, 'label': held.y_train}),
      streams.Stream(stored.x_train, stored.y_train),
    )
  )
  assert len(stream) == len(resident)
  for size in (16, 25):
    positions = batches.epoch(jax.random.key(0), 0, SIZE, size)
    found = [list(batches.read(x, positions)) for x in (stream, resident)]
    chex.assert_trees_all_equal(*found)
    if devices:
      for one, other in zip(*found, strict=True):
        for name in ('image', 'label'):
          same = one[name].sharding.is_equivalent_to
          assert same(other[name].sharding, other[name].ndim)
  some = np.array([3, 1])
  chex.assert_trees_all_equal(stream.take(some), resident.take(some))
  chex.assert_trees_all_equal(jax.jit(stream.take)(some), stream.take(some))


class Half:
  """A sharding over 8 devices, of which the last 4 are this process's."""

  num_devices, mesh = 8, Mesh(jax.devices()[:1], 'data')

  def addressable_devices_indices_map(self, shape):
    size = shape[0] // 8
    return {n: (slice(n * size, (n + 1) * size),) for n in range(4, 8)}


def test_a_process_reads_its_share_of_a_batch_alone(root, monkeypatch):
  train = sources.load('tfds:tiny', str(root), 'always').x_train
  read, read_now = [], train._read
  monkeypatch.setattr(
    train,
    '_read',
    lambda records: read.append(len(records)) or read_now(records),
  )
  stream = streams.Stream(train, np.zeros(len(train), np.int32), Half())
  monkeypatch.setattr(
    streams.Stream, '_batch', lambda self, where, images: images
  )
  positions = [np.arange(16)[::-1], np.arange(16, 32)]
  found = [*stream.batches(positions), stream.take(positions[0])]
  assert sum(read) == 3 * 8
  for images, where in zip(found, [*positions, positions[0]], strict=True):
    np.testing.assert_array_equal(images, train[where[8:]])


def config(root, stream):
  made = digits_topk.get_config()
  made.data.update(source='tfds:tiny', dir=str(root), stream=stream)
  made.data.update(num_train=None, num_test=None)
  made.mesh.data = 1
  made.model.width = 2
  made.train.update(epochs=2, batch_size=16)
  made.unlearn.update(epochs=1, batch_size=16)
  made.reference = 'none'
  made.recipes = common.rows(
    {'row': {'name': 'top_k', 'k': 3, 'over': 'leaves'}}
  )
  made.probes = common.rows({'spd_gan': {'num_steps': 1, 'width': 1}})
  made.save.steps = 3
  return made


def test_a_run_comes_to_the_same(root, tmp_path):
  reports, said = [], io.StringIO()
  progress = Progress(Console(file=said, width=200))
  for stream in ('never', 'always'):
    reports.append(
      experiment.run(config(root, stream), tmp_path / stream, progress)
    )
  one, other = reports
  assert 'images stay on disk until' in said.getvalue()
  assert one['request'] == other['request']
  for key in ('checkpoint_sha256', 'accuracy', 'probes'):
    assert other['models']['original'][key] == one['models']['original'][key]
  # What is in memory is perturbed in one program, which rounds otherwise.
  held, stored = (
    (
      dict(np.load(tmp_path / stream / 'unlearned/row/selection.npz')),
      dict(np.load(tmp_path / stream / 'unlearned/row/logits.npz')),
    )
    for stream in ('never', 'always')
  )
  chex.assert_trees_all_equal(stored[0], held[0])
  chex.assert_trees_all_close(stored[1], held[1], atol=1e-4)


def test_auto_keeps_on_disk_what_memory_would_hold_too_often(root, monkeypatch):
  size = tfds.size('tiny', str(root))
  assert size == 2 * SIZE * 64

  def stored(room):
    monkeypatch.setattr('jaxunlearn.memory.size', lambda: room)
    return not isinstance(
      sources.load('tfds:tiny', str(root), 'auto').x_train, np.ndarray
    )

  assert stored(6 * size - 2) and not stored(6 * size)


def test_what_is_no_set_on_disk_is_refused():
  with pytest.raises(InputError, match='always, but digits is read whole'):
    sources.load('digits', stream='always')


def test_without_grain_a_sentence_says_how_to_get_it(root, monkeypatch):
  monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
  with pytest.raises(InputError, match=r"pip install 'jaxunlearn\[stream\]'"):
    sources.load('tfds:tiny', str(root), 'always')


@pytest.mark.parametrize(
  'bad, words',
  [
    (b'no picture', 'cannot be read'),
    (png(np.zeros((9, 8), np.uint8)), 'examples of different shapes'),
  ],
)
def test_a_bad_image_is_a_sentence_when_it_is_read(tmp_path, bad, words):
  good = png(np.zeros((8, 8), np.uint8))
  make(tmp_path, [good] * 20 + [bad], splits=('train', 'test'))
  data = sources.load('tfds:tiny', str(tmp_path), 'always')
  for read in (
    lambda: data.x_train[np.array([20])],
    lambda: sources.sha256(data),
  ):
    with pytest.raises(InputError, match=words) as caught:
      read()
    assert '\n' not in str(caught.value)


def test_what_is_larger_than_a_limit_trains_inside_it(tmp_path):
  """Measured: 442 MB of images in 300 MB, compiling included."""
  code = (
    'import sys; from tests.data import streams_test; '
    'streams_test.train_and_measure(sys.argv[1])'
  )
  done = subprocess.run(
    [sys.executable, '-c', code, str(tmp_path)],
    capture_output=True,
    text=True,
    check=True,
  )
  images, taken = map(int, done.stdout.split())
  assert images > 440e6 and taken < 300e6


def train_and_measure(root):
  """Prints the bytes of the images, and what was taken at most."""
  # Imported so that what they take themselves is not counted.
  import grain  # noqa: F401
  import optax
  import tensorflow_datasets  # noqa: F401

  from jaxunlearn import train
  from jaxunlearn.types import Model

  shade = [png(np.full((128, 128), x, np.uint8)) for x in range(256)]
  examples = [
    {'id': f'{i:06}'.encode(), 'image': shade[i % 256], 'label': i % 3}
    for i in range(30_000)
  ]
  feature = image_feature(128, 128)
  prepare(Path(root), examples=examples, image=feature)
  made = config(root, 'always')
  made.data.num_test = 100
  jax.jit(lambda x: x + 1)(np.ones(3)).block_until_ready()
  before = _status('VmRSS')
  whole = problem.prepare(made)
  network = Model(
    lambda key, image: {'params': {'w': jax.numpy.zeros(3)}},
    lambda v, image, train, key=None: (
      image.mean((1, 2, 3))[:, None] * v['params']['w'],
      v,
    ),
    lambda params: (('w',),),
  )
  key, tx = jax.random.key(0), optax.sgd(0.1)
  *_, (state, _) = train.fit(
    network, whole.retain, key, num_steps=20, batch_size=64, tx=tx
  )
  logits = predict.logits(network, state.variables, whole.retain)
  assert (
    len(logits) == len(whole.retain) and whole.retain.image.dtype == 'uint8'
  )
  print(whole.retain.image.nbytes, _status('VmHWM') - before)


def _status(name):
  text = Path('/proc/self/status').read_text()
  return 1024 * int(re.search(rf'{name}:\s*(\d+)', text)[1])
