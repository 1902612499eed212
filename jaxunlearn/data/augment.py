"""Augmentation of image batches, on the device."""

import jax
import jax.numpy as jnp

from jaxunlearn.types import Array

__all__ = ['crop_and_flip']


def crop_and_flip(key: Array, image: Array, pad: int = 4) -> Array:
  """Shifts each image by up to `pad` pixels, and mirrors half of them.

  Args:
    key: of the draws.
    image: [n, height, width, channels], any dtype.
    pad: zeros added on each side before a crop of the old size.

  Returns:
    The same shape and dtype.
  """
  key_shift, key_flip = jax.random.split(key)
  shift = jax.random.randint(key_shift, (image.shape[0], 2), 0, 2 * pad + 1)
  flip = jax.random.bernoulli(key_flip, shape=(image.shape[0], 1, 1, 1))
  padded = jnp.pad(image, ((0, 0), (pad, pad), (pad, pad), (0, 0)))

  def crop(padded: Array, shift: Array) -> Array:
    corner = (shift[0], shift[1], 0)
    return jax.lax.dynamic_slice(padded, corner, image.shape[1:])

  cropped = jax.vmap(crop)(padded, shift)
  return jnp.where(flip, cropped[:, :, ::-1], cropped)
