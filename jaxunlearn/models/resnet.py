"""ResNet18 for 32x32 images, the network of the paper's Table II."""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxunlearn.models import layers
from jaxunlearn.types import Array

__all__ = ['ResNet18']


class Block(nn.Module):
  """Two 3x3 convolutions and a shortcut, projected where shapes differ."""

  features: int
  stride: int = 1
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """[n, h, w, c] to [n, h / stride, w / stride, features]."""
    strides = (self.stride, self.stride)
    projected = self.stride != 1 or x.shape[-1] != self.features
    conv = layers.conv(self.dtype)
    norm = functools.partial(layers.BatchNorm, dtype=self.dtype)
    y = conv(self.features, (3, 3), strides, name='conv1')(x)
    y = nn.relu(norm(name='bn1')(y, train))
    y = conv(self.features, (3, 3), name='conv2')(y)
    y = norm(name='bn2')(y, train)
    if projected:
      x = conv(self.features, (1, 1), strides, name='shortcut_conv')(x)
      x = norm(name='shortcut_bn')(x, train)
    return nn.relu(x + y)


class ResNet18(nn.Module):
  """He et al. (2016) with the CIFAR stem: one 3x3 convolution, no pooling.

  At width 64 and 10 classes it holds 11,173,962 parameters in 62 leaves.

  Attributes:
    num_classes: of the logits.
    width: channels of the first stage; the others have 2, 4 and 8 times that.
    dtype: of the computation; parameters and logits stay float32.
  """

  num_classes: int
  width: int = 64
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array, train: bool) -> Array:
    """Images [n, h, w, c], float, to logits [n, num_classes]."""
    conv = layers.conv(self.dtype)
    x = conv(self.width, (3, 3), name='conv1')(x)
    x = nn.relu(layers.BatchNorm(dtype=self.dtype, name='bn1')(x, train))
    for stage in range(4):
      for block in range(2):
        x = Block(
          self.width * 2**stage,
          stride=2 if stage > 0 and block == 0 else 1,
          dtype=self.dtype,
          name=f'layer{stage + 1}_{block}',
        )(x, train)
    x = layers.global_mean(x)
    return layers.dense(self.num_classes, x.shape[-1], name='fc')(x)
