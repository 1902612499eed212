"""A training run seen epoch by epoch: timed, shown, and stopped by a NaN."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax

from jaxunlearn import loop
from jaxunlearn.attempt import Attempt
from jaxunlearn.errors import Diverged
from jaxunlearn.progress import Progress
from jaxunlearn.train import Metrics
from jaxunlearn.types import State, Variables

__all__ = ['Epoch', 'by_epoch']

_REFRESH_SECONDS = 0.5


class Epoch(NamedTuple):
  """One finished epoch.

  Attributes:
    number: from 1.
    step: steps taken since the start.
    variables: the model after it.
    metrics: means over its steps.
    examples_per_second: of the split that leads, compile time apart.
  """

  number: int
  step: int
  variables: Variables
  metrics: dict[str, float]
  examples_per_second: float


def by_epoch(
  steps: Iterator[tuple[State, Metrics]],
  attempt: Attempt,
  *,
  epochs: int,
  epoch_steps: int,
  batch_size: int,
  progress: Progress,
  resident: bool = True,
) -> Iterator[Epoch]:
  """Takes the steps of a run, an epoch at a time.

  Args:
    steps: what `train.fit` or `method.fine_tune` gives from the state of the
      attempt on.
    attempt: where it begins, or goes on; its clock counts the time of the
      steps as `fine_tune`, and it is offered each state.
    epochs: how many there are, with those done before.
    epoch_steps: steps in each.
    batch_size: examples of the leading split in a step.
    progress: shows them.
    resident: whether the data is on the device.

  Yields:
    Each epoch, when the device has finished it.

  Raises:
    Diverged: the loss of an epoch is NaN or infinite.
    Interrupted: as `Attempt.offer`.
  """

  def pace(number: int, taken: int, skipped: int, spent: float):
    """Examples per second in this epoch, and the seconds left of all."""
    seconds = max(clock.seconds['fine_tune'] - spent, 1e-9)
    rate = (taken - skipped) * batch_size / seconds
    left = (epochs - number + 1) * epoch_steps - taken
    return rate, left * batch_size / rate

  progress.begin(attempt.name)
  clock, shown = attempt.clock, time.perf_counter()
  first = len(attempt.lines) + 1
  for number in range(first, epochs + 1):
    found = list(attempt.calls) if number == first else []
    taken = skipped = sum(length for length, _ in found)
    spent = clock.seconds.get('fine_tune', 0.0)
    while taken < epoch_steps:
      attempt.offer(attempt.state, found)
      count = loop.steps_per_call(epoch_steps - taken, resident)
      with clock.measure('fine_tune'):
        attempt.state, metrics = next(steps)
      found.append((count, metrics))
      taken += count
      now = time.perf_counter()
      if taken < epoch_steps and now - shown > _REFRESH_SECONDS:
        shown = now
        with clock.measure('fine_tune'):
          brief = _brief(jax.device_get(metrics))
        rate, left = pace(number, taken, skipped, spent)
        progress.update(_line(number, brief, rate, left))
    with clock.measure('fine_tune'):
      means = _means(jax.device_get(found))
      jax.block_until_ready(attempt.state)
    if not math.isfinite(means['loss']):
      progress.end()
      raise Diverged(f'the loss is {means["loss"]} in epoch {number}')
    rate, left = pace(number, taken, skipped, spent)
    progress.epoch(_line(number, _brief(means), rate, left))
    yield Epoch(
      number, number * epoch_steps, attempt.state.variables, means, rate
    )


def _means(calls: Sequence[tuple[int, Mapping]]) -> dict[str, float]:
  """Over the steps of all calls."""
  length = calls[0][0]
  total = sum(steps / length for steps, _ in calls)
  return {
    name: float(sum(call[name] * (steps / length) for steps, call in calls))
    / total
    for name in calls[0][1]
  }


def _line(
  number: int, shown: Mapping[str, float], rate: float, seconds: float
) -> str:
  values = ' · '.join(f'{name} {value:.4g}' for name, value in shown.items())
  return (
    f'epoch {number} · {values} · {rate:,.0f} examples/s · {seconds:.0f} s left'
  )


def _brief(metrics: Mapping[str, float]) -> dict[str, float]:
  """Loss and the leading split's accuracy, for one line."""
  found = {'loss': float(metrics['loss'])}
  for name in ('train/accuracy', 'retain/accuracy'):
    if name in metrics:
      found['accuracy'] = float(metrics[name])
  return found
