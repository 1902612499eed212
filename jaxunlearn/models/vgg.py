"""VGG19 with batch norm for 32x32 images."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxunlearn.models import layers
from jaxunlearn.types import Array

__all__ = ['VGG19']

# Channels in widths, and convolutions; a pooling ends each stage.
STAGES = ((1, 2), (2, 2), (4, 4), (8, 4), (8, 4))


class VGG19(nn.Module):
  """Simonyan and Zisserman (2015), configuration E, with the CIFAR head.

  Sixteen 3x3 convolutions, each with bias and batch norm, and one dense layer.
  Images are halved five times, so they are of 32x32 pixels or more. At width
  64 and 10 classes it holds 20,040,522 parameters in 66 leaves.

  Attributes:
    num_classes: of the logits.
    width: channels of the first stage; the others have 2, 4, 8 and 8 times
      that.
    dtype: of the computation; parameters and logits stay float32.
  """

  num_classes: int
  width: int = 64
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """Images [n, h, w, c], float, to logits [n, num_classes]."""
    unit = layers.conv_norm_relu(self.dtype)
    index = 0
    for factor, depth in STAGES:
      for _ in range(depth):
        x = unit(x, train, factor * self.width, (3, 3), 'features', index)
        index += 3
      x = layers.max_pool(x, 2, 2)
      index += 1
    x = layers.global_mean(x)
    return layers.dense(self.num_classes, x.shape[-1], name='fc')(x)
