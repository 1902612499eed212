import subprocess
import sys

import numpy as np
import pytest

from configs import digits_topk
from jaxunlearn import memory, problem
from jaxunlearn.data import sources
from jaxunlearn.errors import InputError


def images(count):
  rng = np.random.default_rng(0)
  x = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
  y = rng.integers(0, 10, count, np.int32)
  return sources.Dataset('npz:some.npz', x, y, x[:100], y[:100])


def config():
  config = digits_topk.get_config()
  config.mesh.data = 1
  return config


def test_data_without_room_for_its_splits_is_refused(monkeypatch):
  data = images(1000)
  monkeypatch.setattr(memory, 'size', lambda: 3 * data.x_train.nbytes)
  with pytest.raises(InputError, match=r'some\.npz, as it came and 2 times in'):
    problem.prepare(config(), lambda *_: data)
  size = 3 * (data.x_train.nbytes + data.x_test.nbytes)
  monkeypatch.setattr(memory, 'size', lambda: size)
  problem.prepare(config(), lambda *_: data)
  # Whole on each of two devices.
  made = config()
  made.mesh.data = 2
  with pytest.raises(InputError, match='4 times in splits'):
    problem.prepare(made, lambda *_: data)


def test_no_more_copies_are_made_than_there_is_room_for():
  code = (
    'import pathlib, re, jax; from tests import problem_test as this; '
    'from jaxunlearn import problem; '
    'jax.numpy.zeros(3).block_until_ready(); data = this.images(60_000); '
    'status = pathlib.Path("/proc/self/status"); size = lambda: 1024 * '
    r'int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1]); '
    'before = size() - data.x_train.nbytes; '
    'made = problem.prepare(this.config(), lambda *_: data); '
    'made.everything(); print((size() - before) / data.x_train.nbytes)'
  )
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  # And 0.3 of 184 MB for what traces the network.
  assert 2.5 < float(done.stdout) < 3.3
