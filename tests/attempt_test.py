"""When a run of steps is saved."""

import io
import time
import types

import jax
import jax.numpy as jnp
import pytest
from rich.console import Console

from jaxunlearn import attempt
from jaxunlearn.checkpoints import Checkpoints
from jaxunlearn.clock import Clock
from jaxunlearn.errors import Interrupted
from jaxunlearn.progress import Progress
from jaxunlearn.types import State


def state(step, value=0.0):
  variables = {'params': {'a': jnp.full(3, value)}}
  return State(variables, (), (), jnp.array(step), jax.random.key(1))


class Begun:
  """An attempt in a folder, with a clock that is set by hand."""

  def __init__(self, folder, monkeypatch, stop=False, **save):
    self.now, self.stop = 0.0, stop
    # Its module alone: Orbax has clocks of its own.
    clock = types.SimpleNamespace(monotonic=lambda: self.now)
    monkeypatch.setattr(attempt, 'time', clock)
    run = types.SimpleNamespace(
      config=types.SimpleNamespace(
        save=types.SimpleNamespace(**{'seconds': 0.0, 'steps': 0, **save})
      ),
      noted=lambda: self.stop,
      problem=types.SimpleNamespace(place=lambda tree: tree),
      progress=Progress(Console(file=io.StringIO())),
    )
    self.path, checkpoints = folder / 'c', Checkpoints(folder / 'c', {})
    self.clock = Clock()
    self.attempt = attempt.Attempt(
      run, 'row', checkpoints, state(0), self.clock
    )

  def offer(self, step, calls=(), **how):
    self.attempt.offer(state(step, **how), calls)
    self.attempt._checkpoints.wait()

  def saved(self):
    return sorted(int(x.stem) for x in self.path.glob('*.json'))


def test_it_is_saved_each_so_many_seconds(tmp_path, monkeypatch):
  begun = Begun(tmp_path, monkeypatch, seconds=5.0)
  for step, now, saved in (
    (1, 4.9, []),
    (2, 5.0, [2]),
    (3, 9.9, [2]),
    (4, 10.0, [2, 4]),
  ):
    begun.now = now
    begun.offer(step)
    assert begun.saved() == saved


def test_it_is_saved_each_so_many_steps(tmp_path, monkeypatch):
  begun = Begun(tmp_path, monkeypatch, steps=2)
  begun.now = 1e6
  for step, saved in ((1, []), (2, [2]), (3, [2]), (5, [2, 5])):
    begun.offer(step)
    assert begun.saved() == saved


@pytest.mark.parametrize(
  'bad', [{'value': float('nan')}, {'calls': [(1, {'loss': jnp.inf})]}]
)
def test_what_has_diverged_is_not_saved(tmp_path, monkeypatch, bad):
  begun = Begun(tmp_path, monkeypatch, steps=1)
  begun.offer(1)
  begun.offer(2, **bad)
  assert begun.saved() == [1]


def test_a_second_attempt_goes_on_from_the_first(tmp_path, monkeypatch):
  begun = Begun(tmp_path, monkeypatch, stop=True)
  with begun.clock.measure('fine_tune'):
    time.sleep(0.01)
  calls = [(1, {'loss': jnp.float32(0.1)})]
  with pytest.raises(Interrupted, match='row is saved after step 3'):
    begun.offer(3, calls, value=2.5)
  again = Begun(tmp_path, monkeypatch)
  assert int(again.attempt.state.step) == 3
  assert again.attempt.state.variables['params']['a'].tolist() == [2.5] * 3
  assert jax.random.key_data(again.attempt.state.key).tolist() == [0, 1]
  # To the bit, because a mean is taken of them.
  assert again.attempt.calls == [(1, {'loss': jnp.float32(0.1)})]
  # What was spent counts, to which this attempt adds.
  assert again.clock.seconds['fine_tune'] >= 0.01
