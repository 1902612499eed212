"""Convolutions whose gradients stay fast on a CPU."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxunlearn.types import Array

__all__ = ['convolve']

Pair = tuple[int, int]
_LAYOUT = ('NHWC', 'HWIO', 'NHWC')
_SLICE_BYTES = 2**20
_ONES = (1, (1, 1), [1, 1], None)
# What the arguments of a plain convolution are; any other is None.
_PLAIN = {
  'lhs_dilation': _ONES,
  'rhs_dilation': _ONES,
  'feature_group_count': (1,),
  'batch_group_count': (1,),
}


def convolve(
  image: Array,
  kernel: Array,
  strides: Sequence[int],
  padding: Sequence[Pair] | str,
  *,
  dimension_numbers: Any = _LAYOUT,
  **kwargs: Any,
) -> Array:
  """A convolution, for `flax.linen.Conv(conv_general_dilated=...)`.

  On a CPU the gradients of a plain one, of images, without groups or dilation,
  are written out as convolutions that XLA computes on its fast path also inside
  a loop, and the kernel's is summed over slices of the batch that stay in the
  cache: XLA's own goes through the whole batch once for each entry of the
  kernel. All others, those elsewhere, and those under a mesh, whose devices
  hold slices of the batch already, are XLA's.

  Args:
    image: [n, h, w, c].
    kernel: [height, width, c, features].
    strides: of height and width.
    padding: (low, high) of height and of width, or a word for it.
    dimension_numbers: the axes; those above.
    **kwargs: the rest of `jax.lax.conv_general_dilated`.

  Returns:
    [n, h', w', features]. On a CPU a plain one has no forward-mode derivative.
  """
  numbers = jax.lax.conv_dimension_numbers(
    image.shape, kernel.shape, dimension_numbers
  )
  plain = numbers == _numbers(image, kernel) and _is_plain(padding, kwargs)
  alone = jax.sharding.get_abstract_mesh().empty
  if not (plain and alone and jax.default_backend() == 'cpu'):
    return jax.lax.conv_general_dilated(
      image, kernel, strides, padding, dimension_numbers=numbers, **kwargs
    )
  return _convolve(tuple(strides), tuple(map(tuple, padding)), image, kernel)


def _numbers(image: Array, kernel: Array):
  """Of images in rows and columns; None of anything else."""
  if image.ndim != 4:
    return None
  return jax.lax.conv_dimension_numbers(image.shape, kernel.shape, _LAYOUT)


def _is_plain(padding: Any, kwargs: dict[str, Any]) -> bool:
  others = all(v in _PLAIN.get(k, (None,)) for k, v in kwargs.items())
  return others and not isinstance(padding, str)


def _plain(image: Array, kernel: Array, strides, padding, **kwargs) -> Array:
  return jax.lax.conv_general_dilated(
    image, kernel, strides, padding, dimension_numbers=_LAYOUT, **kwargs
  )


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _convolve(strides: Pair, padding: tuple, image: Array, kernel: Array):
  return _plain(image, kernel, strides, padding)


def _forward(strides: Pair, padding: tuple, image: Array, kernel: Array):
  return _plain(image, kernel, strides, padding), (image, kernel)


def _backward(strides: Pair, padding: tuple, saved: tuple, change: Array):
  image, kernel = saved
  return (
    _image_gradient(strides, padding, image, kernel, change),
    _kernel_gradient(strides, padding, image, kernel, change),
  )


_convolve.defvjp(_forward, _backward)


def _image_gradient(strides, padding, image, kernel, change) -> Array:
  """The change, spread out by the strides, under the turned kernel."""
  margins = []
  for axis in (0, 1):
    low = kernel.shape[axis] - 1 - padding[axis][0]
    spread = (change.shape[axis + 1] - 1) * strides[axis] + 1
    high = image.shape[axis + 1] + kernel.shape[axis] - 1 - spread - low
    margins.append((low, high))
  turned = kernel[::-1, ::-1].swapaxes(2, 3)
  return _plain(change, turned, (1, 1), margins, lhs_dilation=strides)


def _kernel_gradient(strides, padding, image, kernel, change) -> Array:
  """The sum over slices of the batch, and what is left of it."""

  def of(image: Array, change: Array) -> Array:
    return _of_slice(strides, padding, image, kernel, change)

  def add(total: Array, part: tuple[Array, Array]) -> tuple[Array, None]:
    return total + of(*part), None

  count = len(image)
  if not image.size:
    return jnp.zeros_like(kernel)
  row_bytes = (image.nbytes + change.nbytes) // count
  size = max(1, min(count, _SLICE_BYTES // row_bytes))
  whole = count - count % size
  parts = [x[:whole].reshape(-1, size, *x.shape[1:]) for x in (image, change)]
  total = jnp.zeros(kernel.shape, _wide(kernel))
  total, _ = jax.lax.scan(add, total, tuple(parts))
  if whole < count:
    total += of(image[whole:], change[whole:])
  return total.astype(kernel.dtype)


def _of_slice(strides, padding, image, kernel, change) -> Array:
  """The images' channels as a batch, under the change as a kernel."""
  margins = []
  for axis in (0, 1):
    low = padding[axis][0]
    spread = (change.shape[axis + 1] - 1) * strides[axis] + 1
    high = kernel.shape[axis] - 1 + spread - image.shape[axis + 1] - low
    margins.append((low, high))
  found = _plain(
    image.transpose(3, 1, 2, 0),
    change.transpose(1, 2, 0, 3),
    (1, 1),
    margins,
    rhs_dilation=strides,
    preferred_element_type=_wide(kernel),
  )
  return found.transpose(1, 2, 0, 3)


def _wide(x: Array) -> jnp.dtype:
  """The dtype in which its gradient is summed, at least float32."""
  return jnp.promote_types(x.dtype, jnp.float32)
