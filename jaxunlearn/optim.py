"""Optimizers that move some entries of the parameters and no others."""

import jax
import jax.numpy as jnp
import optax

from jaxunlearn.types import Mask

__all__ = ['train_only']


def train_only(
  tx: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
  """Restricts an optimizer to the entries where `trainable` is True.

  Example:
    >>> import jax.numpy as jnp
    >>> tx = train_only(optax.sgd(0.5))
    >>> params = jnp.array([1.0, 1.0])
    >>> updates, _ = tx.update(
    ...   jnp.array([1.0, 1.0]),
    ...   tx.init(params),
    ...   params,
    ...   trainable=jnp.array([True, False]),
    ... )
    >>> optax.apply_updates(params, updates).tolist()
    [0.5, 1.0]

  Guarantees:
    Entries outside the mask are bit for bit what they were after
    `optax.apply_updates`, whatever `tx` does: weight decay and momentum too.
    (A subnormal entry becomes 0 on devices whose sums flush such numbers.)

  Args:
    tx: any optax transformation.

  Returns:
    The same with an extra argument, `update(..., trainable=mask)`.
  """
  tx = optax.with_extra_args_support(tx)

  def update(updates, state, params=None, *, trainable: Mask, **extra):
    updates = _keep(trainable, updates, 0.0)
    updates, state = tx.update(updates, state, params, **extra)
    # Adding +0.0 would turn a parameter of -0.0 into +0.0.
    return _keep(trainable, updates, -0.0), state

  return optax.GradientTransformationExtraArgs(tx.init, update)


def _keep(mask: Mask, tree: optax.Updates, outside: float) -> optax.Updates:
  return jax.tree.map(
    lambda m, x: jnp.where(m, x, jnp.asarray(outside, x.dtype)), mask, tree
  )
