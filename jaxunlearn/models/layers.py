"""Layers with the defaults of the CIFAR originals, which are PyTorch's."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

__all__ = ['BatchNorm', 'conv', 'dense', 'global_mean']

kernel_init = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
"""U(-1/√fan_in, 1/√fan_in), PyTorch's default for weights and biases."""


def conv(dtype: Any):
  """A convolution without bias, padded so that stride 1 keeps the size."""

  def make(features: int, kernel, strides=(1, 1), **kwargs) -> nn.Conv:
    # Explicit, because 'SAME' pads strided convolutions at the other end.
    padding = [(size // 2, size // 2) for size in kernel]
    return nn.Conv(
      features,
      kernel,
      strides,
      padding=padding,
      use_bias=False,
      dtype=dtype,
      kernel_init=kernel_init,
      **kwargs,
    )

  return make


class BatchNorm(nn.Module):
  """Batch normalisation over all axes but the last.

  Flax's own keeps the biased variance; the CIFAR originals, which are
  PyTorch's, normalise by the biased one and keep the unbiased.

  Attributes:
    momentum: weight of the new batch in the running statistics.
    epsilon: added to the variance.
    dtype: of the result; the statistics are float32.
  """

  momentum: float = 0.1
  epsilon: float = 1e-5
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    """[..., channels] to the same; statistics move where they are mutable."""
    shape = x.shape[-1:]
    scale = self.param('scale', nn.initializers.ones, shape)
    bias = self.param('bias', nn.initializers.zeros, shape)
    running_mean = self.variable('batch_stats', 'mean', jnp.zeros, shape)
    running_var = self.variable('batch_stats', 'var', jnp.ones, shape)
    mean, var = running_mean.value, running_var.value
    if train:
      axes = tuple(range(x.ndim - 1))
      wide = x.astype(jnp.float32)
      mean = wide.mean(axes)
      var = jnp.maximum((wide**2).mean(axes) - mean**2, 0)
      count = x.size // x.shape[-1]
      unbiased = var * (count / max(1, count - 1))
      self._move(running_mean, mean)
      self._move(running_var, unbiased)
    slope = scale * jax.lax.rsqrt(var + self.epsilon)
    shift = jnp.broadcast_to(bias - mean * slope, x.shape)
    return (x * jnp.broadcast_to(slope, x.shape) + shift).astype(self.dtype)

  def _move(self, running: nn.Variable, new: jax.Array) -> None:
    if self.is_mutable_collection('batch_stats'):
      old = running.value
      running.value = old + self.momentum * (jax.lax.stop_gradient(new) - old)


def dense(features: int, fan_in: int, **kwargs) -> nn.Dense:
  """A dense layer whose bias, too, is drawn from U(-1/√fan_in, 1/√fan_in)."""

  def bias_init(key, shape, dtype=jnp.float32):
    bound = 1 / math.sqrt(fan_in)
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return nn.Dense(
    features, kernel_init=kernel_init, bias_init=bias_init, **kwargs
  )


def global_mean(x: jax.Array) -> jax.Array:
  """[n, h, w, c] to [n, c], float32: the mean over height and width.

  As a matrix product, because XLA on CPU fuses a plain sum with what comes
  before it, and then adds in another order in a program with a gradient than
  in one without. A network must say of an image, bit for bit, what it said of
  it as a teacher.
  """
  height, width = x.shape[1:3]
  weight = jnp.full((height, width), 1 / (height * width), x.dtype)
  return jnp.einsum(
    'nhwc,hw->nc',
    x,
    weight,
    precision='highest',
    preferred_element_type=jnp.float32,
  )
