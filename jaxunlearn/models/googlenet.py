"""GoogLeNet with batch norm for 32x32 images."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxunlearn.models import layers
from jaxunlearn.types import Array

__all__ = ['GoogLeNet']

# Channels at width 64, before and of the last convolution of each branch:
# 1x1, 1x1-3x3, 1x1-3x3-3x3, pooling-1x1; None is a pooling.
STAGES = {
  'a3': (64, (96, 128), (16, 32), 32),
  'b3': (128, (128, 192), (32, 96), 64),
  'pool3': None,
  'a4': (192, (96, 208), (16, 48), 64),
  'b4': (160, (112, 224), (24, 64), 64),
  'c4': (128, (128, 256), (24, 64), 64),
  'd4': (112, (144, 288), (32, 64), 64),
  'e4': (256, (160, 320), (32, 128), 128),
  'pool4': None,
  'a5': (256, (160, 320), (32, 128), 128),
  'b5': (384, (192, 384), (48, 128), 128),
}


class Inception(nn.Module):
  """Four branches side by side, their channels concatenated."""

  channels: tuple
  width: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """[n, h, w, c] to [n, h, w, the branches' channels]."""
    conv = layers.conv_norm_relu(self.dtype)

    def unit(y, features, size, name, index):
      features = features * self.width // 64
      return conv(y, train, features, (size, size), name, index)

    one, (before_two, two), (before_three, three), four = self.channels
    y1 = unit(x, one, 1, 'b1', 0)
    y2 = unit(x, before_two, 1, 'b2', 0)
    y2 = unit(y2, two, 3, 'b2', 3)
    y3 = unit(x, before_three, 1, 'b3', 0)
    y3 = unit(y3, three, 3, 'b3', 3)
    y3 = unit(y3, three, 3, 'b3', 6)
    y4 = unit(layers.max_pool(x, 3, 1), four, 1, 'b4', 1)
    return jnp.concatenate((y1, y2, y3, y4), axis=-1)


class GoogLeNet(nn.Module):
  """Szegedy et al. (2015) in the form usual for CIFAR.

  One 3x3 convolution for a stem, batch norm after each convolution, two 3x3 in
  place of 5x5, no auxiliary heads. At width 64 and 10 classes it holds
  6,166,250 parameters in 258 leaves.

  Attributes:
    num_classes: of the logits.
    width: a third of the stem's channels, a multiple of 8; the others are in
      proportion.
    dtype: of the computation; parameters and logits stay float32.
  """

  num_classes: int
  width: int = 64
  dtype: Any = jnp.float32

  def __post_init__(self) -> None:
    """Refuses a width at which some layer would have a part of a channel."""
    if self.width % 8:
      raise ValueError(
        f'the width of googlenet is {self.width}, at which its layers do not '
        'have whole numbers of channels: take a multiple of 8.'
      )
    super().__post_init__()

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """Images [n, h, w, c], float, to logits [n, num_classes]."""
    unit = layers.conv_norm_relu(self.dtype)
    x = unit(x, train, 3 * self.width, (3, 3), 'pre_layers', 0)
    for name, channels in STAGES.items():
      if channels is None:
        x = layers.max_pool(x, 3, 2)
      else:
        x = Inception(channels, self.width, self.dtype, name=name)(x, train)
    x = layers.global_mean(x)
    return layers.dense(self.num_classes, x.shape[-1], name='fc')(x)
