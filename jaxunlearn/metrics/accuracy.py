"""Accuracy, and the paper's two rates made of it."""

import jax.numpy as jnp

from jaxunlearn.types import Array

__all__ = ['accuracy', 'forgetting_rate', 'memory_retention_rate']


def accuracy(logits: Array, label: Array) -> Array:
  """The share of examples whose largest logit is at their label.

  Example:
    >>> logits = jnp.array([[2.0, 1.0], [0.0, 3.0]])
    >>> accuracy(logits, jnp.array([0, 0])).item()
    0.5

  Args:
    logits: [n, classes]; of equal logits the first counts.
    label: [n], integer.

  Returns:
    [], float in [0, 1].
  """
  return jnp.mean(jnp.argmax(logits, axis=-1) == label)


def forgetting_rate(before: float, after: float) -> Array:
  """FR = (A - A′) / A.

  Example:
    >>> forgetting_rate(before=0.5, after=0.25).item()
    0.5

  Args:
    before: A, accuracy of the original on forget.
    after: A′, accuracy of the unlearned model on forget.

  Returns:
    At most 1, negative where the accuracy rose; NaN where A is 0.

  Reference:
    Zuo et al. (2025), Eq. 17.
  """
  before, after = jnp.asarray(before), jnp.asarray(after)
  return jnp.where(before > 0, (before - after) / before, jnp.nan)


def memory_retention_rate(retain_after: float, forget_before: float) -> Array:
  """MRR = A″ / A.

  Example:
    >>> memory_retention_rate(retain_after=0.75, forget_before=0.5).item()
    1.5

  Args:
    retain_after: A″, accuracy of the unlearned model on retain.
    forget_before: A, accuracy of the original on *forget*, as printed.

  Returns:
    At least 0; above 1 where A″ > A; NaN where A is 0.

  Reference:
    Zuo et al. (2025), Eq. 18.
  """
  before = jnp.asarray(forget_before)
  return jnp.where(before > 0, jnp.asarray(retain_after) / before, jnp.nan)
