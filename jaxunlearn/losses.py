"""Losses: (logits [batch, classes], label [batch], context) -> [batch].

A loss that looks at `context.teachers` compares with frozen models; it sees
images that are not augmented, and the network in eval mode.
"""

import jax
import optax

from jaxunlearn.divergences import js_divergence
from jaxunlearn.types import Array, Context

__all__ = ['cross_entropy', 'js_to_original']


def cross_entropy(logits: Array, label: Array, context: Context) -> Array:
  """-log softmax(logits)[label], in nats.

  Example:
    >>> import jax.numpy as jnp
    >>> value = cross_entropy(jnp.zeros((1, 2)), jnp.array([0]), None)
    >>> print(f'{value.item():.4f}')
    0.6931

  Args:
    logits: [batch, classes], float.
    label: [batch], integer.
    context: not looked at.

  Returns:
    [batch], nats.

  Reference:
    Zuo et al. (2025), Eq. 10, which prints it without the minus sign.
  """
  del context
  return optax.softmax_cross_entropy_with_integer_labels(logits, label)


def js_to_original(logits: Array, label: Array, context: Context) -> Array:
  """JS divergence from the original model's distribution, in nats.

  On the forget set this term pulls the unlearned model *towards* the original,
  which keeps memory of it; the paper argues that the original stands in for
  the retrained model. Weight 0 leaves it out.

  Args:
    logits: [batch, classes], float.
    label: not looked at.
    context: its teacher `original` is compared with.

  Returns:
    [batch], nats.

  Reference:
    Zuo et al. (2025), Eq. 10.
  """
  del label
  original = jax.lax.stop_gradient(context.teachers['original'])
  return js_divergence(logits, original)
