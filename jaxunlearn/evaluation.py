"""What is measured of a finished model: logits once, then numbers of them."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxunlearn import metrics, predict, scores
from jaxunlearn.errors import Diverged
from jaxunlearn.gather import to_host
from jaxunlearn.types import (
  Array,
  Model,
  PyTree,
  Scores,
  Source,
  Task,
  Variables,
)

__all__ = [
  'accuracies',
  'dead',
  'gap',
  'logits',
  'rates',
  'same_logits',
  'seconds_to',
]

_ROUNDING = 1e-4


def logits(
  model: Model, variables: Variables, splits: Mapping[str, Source]
) -> dict[str, np.ndarray]:
  """The model's logits, {split: [n, classes]}.

  Raises:
    Diverged: some are NaN or infinite.
  """
  found = {
    name: to_host(predict.logits(model, variables, source))
    for name, source in splits.items()
  }
  if not all(np.isfinite(values).all() for values in found.values()):
    raise Diverged('the logits hold a NaN or an infinity')
  return found


def accuracies(
  found: Mapping[str, np.ndarray],
  splits: Mapping[str, Source],
  true_label: np.ndarray | None,
) -> dict[str, float | None]:
  """Accuracy on each split, and on forget against the labels that are true.

  Args:
    found: {split: logits}.
    splits: the examples; their labels are those that were trained on.
    true_label: [n] of forget, or None where it is no other.
  """
  rates = {
    name: float(metrics.accuracy(found[name], source.label))
    for name, source in splits.items()
  }
  true = None
  if true_label is not None:
    true = float(metrics.accuracy(found['forget'], true_label))
  return {**rates, 'forget_true_label': true}


def rates(
  accuracy: Mapping[str, float], original: Mapping[str, float]
) -> dict[str, float | None]:
  """The paper's two rates of a model.

  Args:
    accuracy: of the model, by split.
    original: of the original, by split.
  """
  before = original['forget']
  forgotten = metrics.forgetting_rate(before, accuracy['forget'])
  retained = metrics.memory_retention_rate(accuracy['retain'], before)
  return {
    'forgetting_rate': _number(forgotten),
    'memory_retention_rate': _number(retained),
  }


def gap(
  accuracy: Mapping[str, float], retrained: Mapping[str, float] | None
) -> dict[str, float] | None:
  """Absolute differences in accuracy from the retrained, and their mean."""
  if retrained is None:
    return None
  gaps = {
    name: abs(accuracy[name] - retrained[name])
    for name in ('forget', 'retain', 'test')
  }
  return {**gaps, 'mean': sum(gaps.values()) / len(gaps)}


def seconds_to(result: Mapping[str, Any]) -> float | None:
  """Seconds to convergence: selection, perturbation and epochs up to there."""
  epoch = result['converged_epoch']
  if epoch is None:
    return None
  seconds = result['seconds']
  before = sum(seconds[name] or 0.0 for name in ('select', 'perturb'))
  return before + result['epoch_seconds'][epoch - 1]


def dead(task: Task, variables: Variables, key: Array) -> dict | None:
  """How many leaves still have a gradient, where they are fewer than half.

  Of the squared output norm, which does not vanish for a network that is sure
  of itself, as the loss's may.
  """
  found = _sensitivity(key, task._replace(original=variables))
  alive = [bool(leaf) for leaf in jax.tree.leaves(_moving(found))]
  if sum(alive) >= len(alive) / 2:
    return None
  return {'leaves_with_gradient': sum(alive), 'total_leaves': len(alive)}


def same_logits(found: np.ndarray) -> bool:
  """Whether all examples have the same logits, but for rounding.

  Args:
    found: logits [n, classes].
  """
  spread = np.ptp(found, axis=0).max()
  return bool(spread <= _ROUNDING * np.abs(found).max())


_sensitivity = scores.gradient('output_norm', 'retain')


@jax.jit
def _moving(found: Scores) -> PyTree:
  return jax.tree.map(lambda s: jnp.any(s != 0), found)


def _number(value: Array) -> float | None:
  """None stands for what is not defined."""
  value = float(value)
  return value if math.isfinite(value) else None
