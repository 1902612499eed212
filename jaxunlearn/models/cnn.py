"""A small convolutional network, for digits and for tests."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxunlearn.models import layers
from jaxunlearn.types import Array

__all__ = ['CNN']


class CNN(nn.Module):
  """Three convolutions, the last two strided, and a dense layer; no norm.

  Attributes:
    num_classes: of the logits.
    width: channels of the first convolution; the others have twice that.
    dtype: of the computation; parameters and logits stay float32.
  """

  num_classes: int
  width: int = 32
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """Images [n, h, w, c], float, to logits [n, num_classes]."""
    del train
    conv = layers.conv(self.dtype)
    x = nn.relu(conv(self.width, (3, 3), name='conv1')(x))
    x = nn.relu(conv(2 * self.width, (3, 3), (2, 2), name='conv2')(x))
    x = nn.relu(conv(2 * self.width, (3, 3), (2, 2), name='conv3')(x))
    x = x.reshape(x.shape[0], -1).astype(jnp.float32)
    return layers.dense(self.num_classes, x.shape[-1], name='fc')(x)
