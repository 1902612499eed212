"""What is on disk after a death at any call that changes it."""

import os
import shutil
from pathlib import Path

import chex
import jax.numpy as jnp
import pytest

from jaxunlearn import files
from jaxunlearn.checkpoints import Checkpoints
from jaxunlearn.models import adapters
from jaxunlearn.workdir import Workdir

TREE = {'params': {'a': jnp.arange(6.0)}}
CALLS = (
  (os, 'replace'),
  (Path, 'rename'),
  (Path, 'unlink'),
  (Path, 'mkdir'),
  (shutil, 'rmtree'),
  (adapters, 'save'),
  (files, 'replace'),
)


class Death(BaseException):
  """Nothing that comes after it is done."""


def half_removed(folder):
  """A folder of which the first file is gone."""
  first, *_ = sorted(x for x in Path(folder).rglob('*') if x.is_file())
  os.unlink(first)


@pytest.fixture
def dying(monkeypatch):
  """(n) -> the n-th of these calls from now dies, half of them when done.

  What is removed is half removed then.
  """

  def arm(number):
    count = [0]

    def armed(call, last):
      def made(*args, **kwargs):
        count[0] += 1
        if count[0] > number // 2:
          if number % 2 and count[0] == number // 2 + 1:
            last(*args, **kwargs)
          raise Death
        return call(*args, **kwargs)

      return made

    for owner, name in CALLS:
      call = getattr(owner, name)
      last = half_removed if name == 'rmtree' else call
      monkeypatch.setattr(owner, name, armed(call, last))

  return arm


def dies(work):
  try:
    work()
  except Death:
    return True
  return False


@pytest.mark.parametrize('number', range(40))
def test_a_checkpoint_is_there_whenever_one_dies(
  tmp_path, dying, monkeypatch, number
):
  def saves(*steps):
    found = Checkpoints(tmp_path / 'c', {})
    found.latest(TREE, said.append)
    for step in steps:
      found.save(step, {'params': {'a': TREE['params']['a'] + step}}, {})
      found.wait()

  said = []
  saves(1, 2)
  dying(number)
  died = dies(lambda: saves(3, 4))
  monkeypatch.undo()
  again = Checkpoints(tmp_path / 'c', {})
  saved = again.latest(TREE, said.append)
  assert saved.step in ((2, 3, 4) if died else (4,))
  # None is damaged, and at most the one that was being written cut off.
  assert len(said) <= died
  assert all(x.endswith('was not whole, and removed.') for x in said)
  chex.assert_trees_all_equal(
    saved.tree['params']['a'], TREE['params']['a'] + saved.step
  )
  again.save(5, TREE, {})
  again.wait()
  names = sorted(x.name for x in (tmp_path / 'c').iterdir())
  assert names == sorted(
    f'{x}{y}' for x in (saved.step, 5) for y in ('', '.json')
  )


@pytest.mark.parametrize('number', range(40))
def test_a_stage_is_whole_or_not_there_whenever_one_dies(
  tmp_path, dying, monkeypatch, number
):
  def begun():
    work = Workdir(tmp_path)
    return work, work.stage('row', {'a': 1})

  _, stage = begun()
  stage.selected.save(0, TREE, {})
  stage.checkpoints.save(7, TREE, {})
  stage.settle()
  dying(number)
  died = dies(lambda: stage.finish(TREE, {}, {'accuracy': 1}))
  monkeypatch.undo()
  work, stage = begun()
  work.tidy()
  stage.tidy()
  if stage.finished:
    chex.assert_trees_all_equal(stage.variables(TREE), TREE)
    assert [x.name for x in tmp_path.iterdir()] == ['row']
  else:
    assert died and stage.checkpoints.latest(TREE, print).step == 7
    stage.finish(TREE, {}, {'accuracy': 1})
    assert stage.finished


@pytest.mark.parametrize('number', range(16))
def test_a_stage_that_is_tried_again_is_never_half_there(
  tmp_path, dying, monkeypatch, number
):
  stage = Workdir(tmp_path).stage('row', {'a': 1})
  stage.checkpoints.save(7, TREE, {})
  stage.fail({'failed': 'no memory.', 'again': True})
  dying(number)
  dies(stage.tidy)
  monkeypatch.undo()
  work = Workdir(tmp_path)
  stage = work.stage('row', {'a': 1})
  stage.check()
  work.tidy()
  stage.tidy()
  assert not stage.path.exists()
  assert stage.checkpoints.latest(TREE, print).step == 7
