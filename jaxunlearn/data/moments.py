"""By what images are normalised when nobody says: their own moments."""

from collections.abc import Iterator

import numpy as np

from jaxunlearn.data.stored import Stored, parts

__all__ = ['per_channel']


def per_channel(images: np.ndarray | Stored) -> tuple[np.ndarray, np.ndarray]:
  """Mean and standard deviation of each channel, of images in [0, 1].

  Args:
    images: [n, height, width, channels], uint8 (divided by 255) or float.

  Returns:
    Two arrays [channels], float64.

  Example:
    >>> images = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
    >>> tuple(x.item() for x in per_channel(images))
    (0.5, 0.5)
  """
  if images.dtype == np.uint8:
    # Counts are exact, however the images are parted.
    count = sum(map(_histogram, parts(images)))
    value, total = np.arange(256) / 255, count.sum(1)
    mean = count @ value / total
    square = ((value - mean[:, None]) ** 2 * count).sum(1) / total
    return mean, np.sqrt(square)
  size = images[..., 0].size
  mean = sum(_sums(images, 0.0)) / size
  return mean, np.sqrt(sum(_sums(images, mean, 2)) / size)


def _histogram(images: np.ndarray) -> np.ndarray:
  """How often each value is there, [channels, 256]."""
  channels = np.moveaxis(images, -1, 0)
  return np.stack([np.bincount(x.ravel(), minlength=256) for x in channels])


def _sums(
  images: np.ndarray, shift: np.ndarray | float, power: int = 1
) -> Iterator[np.ndarray]:
  """Of each part, and each channel."""
  for part in parts(images):
    yield ((part.astype(np.float64) - shift) ** power).sum((0, 1, 2))
