"""DenseNet121 for 32x32 images."""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxunlearn.models import layers
from jaxunlearn.types import Array

__all__ = ['DenseNet121']

DEPTHS = (6, 12, 24, 16)


class Bottleneck(nn.Module):
  """A 1x1 and a 3x3 convolution that add `growth` channels to their input."""

  growth: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """[n, h, w, c] to [n, h, w, growth + c], the new channels first."""
    conv = layers.conv(self.dtype)
    norm = functools.partial(layers.BatchNorm, dtype=self.dtype)
    y = nn.relu(norm(name='bn1')(x, train))
    y = conv(4 * self.growth, (1, 1), name='conv1')(y)
    y = nn.relu(norm(name='bn2')(y, train))
    y = conv(self.growth, (3, 3), name='conv2')(y)
    return jnp.concatenate((y, x), axis=-1)


class Transition(nn.Module):
  """Half the channels, half the height and the width."""

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """[n, h, w, c] to [n, h / 2, w / 2, c / 2]."""
    x = nn.relu(layers.BatchNorm(dtype=self.dtype, name='bn')(x, train))
    x = layers.conv(self.dtype)(x.shape[-1] // 2, (1, 1), name='conv')(x)
    return layers.mean_pool(x)


class DenseNet121(nn.Module):
  """Huang et al. (2017), DenseNet-BC, with the CIFAR stem: one 3x3 convolution.

  No convolution has a bias; a norm and ReLU come before each but the stem. At
  width 32 and 10 classes it holds 6,956,298 parameters in 362 leaves.

  Attributes:
    num_classes: of the logits.
    width: the growth, which is the channels that each of the 58 blocks adds.
    dtype: of the computation; parameters and logits stay float32.
  """

  num_classes: int
  width: int = 32
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """Images [n, h, w, c], float, to logits [n, num_classes]."""
    x = layers.conv(self.dtype)(2 * self.width, (3, 3), name='conv1')(x)
    for stage, depth in enumerate(DEPTHS, 1):
      for block in range(depth):
        name = f'dense{stage}_{block}'
        x = Bottleneck(self.width, self.dtype, name=name)(x, train)
      if stage < len(DEPTHS):
        x = Transition(self.dtype, name=f'trans{stage}')(x, train)
    x = nn.relu(layers.BatchNorm(dtype=self.dtype, name='bn')(x, train))
    x = layers.global_mean(x)
    return layers.dense(self.num_classes, x.shape[-1], name='fc')(x)
