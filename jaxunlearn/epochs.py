"""A training run seen epoch by epoch: timed, shown, and stopped by a NaN."""

import math
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax

from jaxunlearn import loop
from jaxunlearn.clock import Clock
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
  *,
  epochs: int,
  epoch_steps: int,
  batch_size: int,
  stage: str,
  clock: Clock,
  progress: Progress,
) -> Iterator[Epoch]:
  """Takes the steps of a run, an epoch at a time.

  Args:
    steps: what `train.fit` or `method.fine_tune` gives, for resident data.
    epochs: how many there are.
    epoch_steps: steps in each.
    batch_size: examples of the leading split in a step.
    stage: what to call the run on the terminal.
    clock: counts the time of the steps as `fine_tune`.
    progress: shows them.

  Yields:
    Each epoch, when the device has finished it.

  Raises:
    Diverged: the loss of an epoch is NaN or infinite.
  """
  calls = -(-epoch_steps // loop.steps_per_call(epoch_steps, resident=True))
  progress.begin(stage)
  shown = time.perf_counter()
  for number in range(1, epochs + 1):
    found, began = [], time.perf_counter()
    spent = clock.seconds.get('fine_tune', 0.0)
    with clock.measure('fine_tune'):
      for call in range(1, calls + 1):
        state, metrics = next(steps)
        found.append(metrics)
        if call < calls and time.perf_counter() - shown > _REFRESH_SECONDS:
          shown = time.perf_counter()
          taken = call * epoch_steps // calls
          now = _brief(jax.device_get(metrics))
          rate = taken * batch_size / (time.perf_counter() - began)
          left = (epochs - number + 1) * epoch_steps - taken
          seconds = left * batch_size / rate
          progress.update(_line(number, now, rate, seconds))
      found = jax.device_get(found)
      jax.block_until_ready(state)
    means = {
      name: float(sum(m[name] for m in found)) / len(found) for name in found[0]
    }
    if not math.isfinite(means['loss']):
      progress.end()
      raise Diverged(f'the loss is {means["loss"]} in epoch {number}')
    seconds = clock.seconds['fine_tune'] - spent
    rate = epoch_steps * batch_size / max(seconds, 1e-9)
    left = (epochs - number) * epoch_steps * batch_size / rate
    progress.epoch(_line(number, _brief(means), rate, left))
    yield Epoch(number, number * epoch_steps, state.variables, means, rate)


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
