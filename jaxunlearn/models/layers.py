"""Layers with the defaults of the CIFAR originals, which are PyTorch's."""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxunlearn.models.convolution import convolve

__all__ = [
  'BatchNorm',
  'conv',
  'conv_norm_relu',
  'dense',
  'global_mean',
  'max_pool',
  'mean_pool',
]

kernel_init = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
"""U(-1/√fan_in, 1/√fan_in), PyTorch's default for weights and biases."""


def _bias_init(fan_in: int):
  """U(-1/√fan_in, 1/√fan_in): a bias's shape does not tell its fan-in."""

  def init(key, shape, dtype=jnp.float32):
    bound = 1 / math.sqrt(fan_in)
    return jax.random.uniform(key, shape, dtype, -bound, bound)

  return init


def conv(dtype: Any):
  """A convolution padded so that stride 1 keeps the size.

  Without bias, unless `channels` says how many the input has.
  """

  def make(
    features: int, kernel, strides=(1, 1), channels=None, **kwargs
  ) -> nn.Conv:
    if channels is not None:
      kwargs['bias_init'] = _bias_init(channels * math.prod(kernel))
    # Explicit, because 'SAME' pads strided convolutions at the other end.
    padding = [(size // 2, size // 2) for size in kernel]
    return nn.Conv(
      features,
      kernel,
      strides,
      padding=padding,
      use_bias=channels is not None,
      dtype=dtype,
      kernel_init=kernel_init,
      conv_general_dilated=convolve,
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


def conv_norm_relu(dtype: Any):
  """A convolution with bias, its norm and ReLU: VGG's and GoogLeNet's unit."""

  def apply(
    x: jax.Array, train: bool, features: int, kernel, name: str, index: int
  ) -> jax.Array:
    # Named after their places in the original's torch.nn.Sequential.
    x = conv(dtype)(
      features, kernel, channels=x.shape[-1], name=f'{name}_{index}'
    )(x)
    return nn.relu(BatchNorm(dtype=dtype, name=f'{name}_{index + 1}')(x, train))

  return apply


def dense(features: int, fan_in: int, **kwargs) -> nn.Dense:
  """A dense layer whose bias, too, is drawn from U(-1/√fan_in, 1/√fan_in)."""
  return nn.Dense(
    features, kernel_init=kernel_init, bias_init=_bias_init(fan_in), **kwargs
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


def max_pool(x: jax.Array, size: int, stride: int) -> jax.Array:
  """[n, h, w, c] to the maximum of windows of `size`x`size`.

  An odd size is padded so that stride 1 keeps height and width. Element by
  element over shifted views, whose gradient XLA on CPU computes 4 to 10 times
  faster than that of `reduce_window`; it is shared out where values tie.
  """
  for axis in (1, 2):
    x = functools.reduce(jnp.maximum, _views(x, axis, size, stride))
  return x


def mean_pool(x: jax.Array) -> jax.Array:
  """[n, h, w, c] to the mean of windows of 2x2, side by side.

  In one order of addition whatever program it stands in; see `global_mean`.
  """
  wide = x.astype(jnp.float32)
  for axis in (1, 2):
    wide = functools.reduce(jnp.add, _views(wide, axis, 2, 2))
  return (wide / 4).astype(x.dtype)


def _views(x: jax.Array, axis: int, size: int, stride: int) -> list[jax.Array]:
  """What stands at the first, second ... place of each window of an axis."""
  pad = (size - 1) // 2
  length = x.shape[axis] + 2 * pad
  count = (length - size) // stride + 1
  if count < 1:
    raise ValueError(
      f'a {size}x{size} pooling meets {x.shape[1]}x{x.shape[2]} pixels: this '
      'network needs larger images.'
    )
  if pad:
    widths = [(0, 0)] * x.ndim
    widths[axis] = (pad, pad)
    x = jnp.pad(x, widths, constant_values=-jnp.inf)
  return [
    jax.lax.slice_in_dim(x, i, i + (count - 1) * stride + 1, stride, axis)
    for i in range(size)
  ]
