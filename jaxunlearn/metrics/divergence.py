"""How alike two models are on the same examples."""

import jax.numpy as jnp

from jaxunlearn.divergences import js_divergence
from jaxunlearn.types import Array

__all__ = ['similarity']


def similarity(logits_p: Array, logits_q: Array) -> Array:
  """1 - mean JS(P, Q), the JS divergence in bits.

  Example:
    >>> logits = jnp.array([[2.0, 1.0]])
    >>> similarity(logits, logits).item()
    1.0

  Args:
    logits_p: [n, classes], of one model; the paper compares the unlearned and
      the retrained one on forget.
    logits_q: [n, classes], of the other on the same examples.

  Returns:
    [], in [0, 1]; 1 for equal distributions.

  Reference:
    Zuo et al. (2025), the column "similarity" of Table II.
  """
  bits = js_divergence(logits_p, logits_q) / jnp.log(2.0)
  # Rounding can leave the range by an ulp.
  return jnp.clip(1 - bits.mean(), 0, 1)
