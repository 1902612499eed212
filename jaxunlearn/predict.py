"""Logits of a model on a whole split, each example once."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxunlearn.data import batches
from jaxunlearn.types import Array, Batch, Model, Source, Variables, as_source

__all__ = ['logits']


def logits(
  model: Model,
  variables: Variables,
  source: Source | Batch,
  batch_size: int = 128,
) -> Array:
  """The model's logits in eval mode.

  The last batch is padded to the size of the others, so that one compiled
  program serves all; what the padding gives is cut off. Devices that share the
  source's batches share these too.

  Args:
    model: the network.
    variables: its variables.
    source: n examples.
    batch_size: examples in a pass, as of `batches.once_each`.

  Returns:
    float [n, classes], in the order of the source; of a model that gives
    features, those: a tuple of arrays [n, ...].

  Raises:
    ValueError: a batch size below 1.
  """
  source = as_source(source)
  positions = batches.once_each(source, batch_size)
  parts = [
    _forward(model.apply, variables, batch['image'])
    for batch in batches.read(source, positions)
  ]
  return jax.tree.map(lambda *x: jnp.concatenate(x)[: len(source)], *parts)


@functools.partial(jax.jit, static_argnums=0)
def _forward(apply: Callable, variables: Variables, image: Array) -> Array:
  return apply(variables, image, False)[0]
