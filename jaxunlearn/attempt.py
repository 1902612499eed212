"""A training run that may be stopped at any step, and gone on with."""

import math
import time
import types
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxunlearn.checkpoints import Checkpoints
from jaxunlearn.clock import Clock
from jaxunlearn.errors import Interrupted
from jaxunlearn.hosts import any_of
from jaxunlearn.problem import Run
from jaxunlearn.train import Metrics
from jaxunlearn.types import Array, PyTree, State

__all__ = ['Attempt']


class Attempt:
  """What a run of steps has come to, kept on disk while it goes on.

  It can be stopped before any XLA call, and what comes of it is the same.

  Attributes:
    name: of what is trained.
    state: before the next step.
    lines: what was logged, a line an epoch.
    calls: (steps, {name: float32 scalar}) of each XLA call since; the means
      over its steps.
    clock: counts the time of all attempts.
    changes: of the machine or the versions between them, as in `Saved`.
  """

  def __init__(
    self,
    run: Run,
    name: str,
    checkpoints: Checkpoints,
    state: State,
    clock: Clock,
    facts: Mapping[str, Any] = types.MappingProxyType({}),
  ):
    """Goes on from the newest checkpoint, or begins.

    Args:
      run: the run.
      name: of what is trained.
      checkpoints: its own.
      state: before the first step.
      clock: of this attempt.
      facts: what else is written with each checkpoint.
    """
    self.name, self.state, self.clock = name, state, clock
    self.lines, self.calls, self.changes = [], [], []
    self._how, self._noted = run.config.save, run.noted
    self._facts = dict(facts)
    self._checkpoints = checkpoints
    saved = checkpoints.latest(_as_arrays(state), run.progress.say)
    if saved:
      self.state = run.problem.place(_as_state(saved.tree, state))
      self.lines, self.changes = saved.facts['lines'], saved.changes
      self.calls = [
        (steps, {name: np.float32(value) for name, value in call.items()})
        for steps, call in saved.facts['calls']
      ]
      clock.go_on(saved.facts['seconds'])
      run.progress.say(f'{name}: going on after step {saved.step}')
    self._step, self._at = int(self.state.step), time.monotonic()

  def offer(self, state: State, calls: Sequence[tuple[int, Metrics]]) -> None:
    """Saves what there is when that is due, and stops when told to.

    Args:
      state: before the next step.
      calls: (steps, metrics) of each XLA call since the last line.

    Raises:
      Interrupted: a signal came, and what there is was saved.
      Unavailable: it could not be saved.
    """
    stop, due = any_of(self._noted(), self._due(state))
    if stop or due:
      with self.clock.measure('fine_tune'):
        jax.block_until_ready(state)
      self._save(state, jax.device_get(list(calls)))
    if stop:
      self._checkpoints.wait()
      done = f'is saved after step {self._step}' if self._step else 'has begun'
      raise Interrupted(f'{self.name} {done}')

  def _due(self, state: State) -> bool:
    seconds, steps = self._how.seconds, self._how.steps
    if seconds and time.monotonic() - self._at >= seconds:
      return True
    # To know the step is to wait for it.
    return bool(steps) and int(state.step) - self._step >= steps

  def _save(self, state: State, calls: list[tuple[int, Mapping]]) -> None:
    step = int(state.step)
    values = [
      (steps, {name: float(value) for name, value in call.items()})
      for steps, call in calls
    ]
    # What has diverged is nothing to go on from.
    if step == self._step or not _sound(state, values):
      return
    facts = {
      **self._facts,
      'lines': self.lines,
      'calls': values,
      'seconds': self.clock.seconds,
    }
    self._checkpoints.save(step, _as_arrays(state), facts)
    self._step, self._at = step, time.monotonic()


def _sound(state: State, calls: list[tuple[int, Mapping]]) -> bool:
  """Whether every metric and every variable is finite."""
  told = all(math.isfinite(v) for _, call in calls for v in call.values())
  return told and bool(_finite(state.variables))


@jax.jit
def _finite(tree: PyTree) -> Array:
  return jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]).all()


def _as_arrays(state: State) -> State:
  return state._replace(key=jax.random.key_data(state.key))


def _as_state(tree: State, like: State) -> State:
  """With a key of the kind that `like` has."""
  data = jnp.asarray(tree.key)
  key = jax.random.wrap_key_data(data, impl=jax.random.key_impl(like.key))
  return tree._replace(key=key)
