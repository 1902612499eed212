"""How far an image is from another, as a person would see it."""

import jax.numpy as jnp
import numpy as np

from jaxunlearn.types import Array

__all__ = ['psnr', 'ssim']

_WINDOW, _SIGMA = 11, 1.5
_K1, _K2 = 0.01, 0.03


def psnr(image: Array, other: Array) -> Array:
  """Peak signal-to-noise ratio: -10 log₁₀ mean (x - y)², in decibels.

  Example:
    >>> image = jnp.zeros((1, 2, 2, 1))
    >>> print(f'{psnr(image, image + 0.1).item():.1f}')
    20.0

  Args:
    image: [n, height, width, channels], float in [0, 1], the peak being 1.
    other: the same shape.

  Returns:
    [n], float; inf where the two are identical.

  Raises:
    ValueError: unequal shapes, or pixels that are integers.
  """
  _check(image, other)
  return -10 * jnp.log10(jnp.mean((image - other) ** 2, axis=(1, 2, 3)))


def ssim(image: Array, other: Array) -> Array:
  """Structural similarity.

  The mean over all windows and channels of

    (2 μ_x μ_y + C₁)(2 σ_xy + C₂) / ((μ_x² + μ_y² + C₁)(σ_x² + σ_y² + C₂)),

  C₁ = 0.01², C₂ = 0.03². The moments are weighted by a Gaussian of standard
  deviation 1.5 on 11x11 pixels. Only windows that lie in the image count. On a
  smaller image the window is the largest of odd side that fits (7x7 on 8x8),
  with the same standard deviation: such values compare among themselves only.

  Example:
    >>> image = jnp.linspace(0, 1, 64).reshape(1, 8, 8, 1)
    >>> round(ssim(image, image).item(), 4)
    1.0
    >>> bool(ssim(image, 1 - image).item() < 0)
    True

  Args:
    image: [n, height, width, channels], float in [0, 1], the range being 1.
    other: the same shape.

  Returns:
    [n], float, in [-1, 1]; 1 where the two are identical.

  Raises:
    ValueError: unequal shapes, or pixels that are integers.

  Reference:
    Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error
    visibility to structural similarity", IEEE TIP 2004.
  """
  _check(image, other)
  height, width = image.shape[1:3]
  side = min(_WINDOW, height, width)
  side -= 1 - side % 2
  rows, columns = _sliding(height, side), _sliding(width, side)

  def mean(x: Array) -> Array:
    # σ² = E[x²] - μ² cancels: what a GPU multiplies by default is too coarse.
    return jnp.einsum('nhwc,ih,jw->nijc', x, rows, columns, precision='highest')

  x, y = image.astype(jnp.float32), other.astype(jnp.float32)
  mean_x, mean_y = mean(x), mean(y)
  var_x, var_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
  covariance = mean(x * y) - mean_x * mean_y
  c1, c2 = _K1**2, _K2**2
  above = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
  below = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
  return jnp.mean(above / below, axis=(1, 2, 3))


def _sliding(size: int, side: int) -> np.ndarray:
  """[size - side + 1, size]: each row is the Gaussian at its place."""
  offsets = np.arange(side) - side // 2
  weight = np.exp(-(offsets**2) / (2 * _SIGMA**2))
  places = np.arange(size - side + 1)
  matrix = np.zeros((len(places), size), np.float32)
  matrix[places[:, None], places[:, None] + np.arange(side)] = (
    weight / weight.sum()
  )
  return matrix


def _check(image: Array, other: Array) -> None:
  if image.shape != other.shape or image.ndim != 4:
    raise ValueError(
      'two images are compared in equal shapes [n, height, width, channels], '
      f'not {image.shape} and {other.shape}.'
    )
  for each in (image, other):
    if not jnp.issubdtype(each.dtype, jnp.floating):
      raise ValueError(
        f'images are compared as float in [0, 1]; divide {each.dtype} by 255.'
      )
