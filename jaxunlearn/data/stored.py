"""Images that stay on disk until they are asked for."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

__all__ = ['Stored', 'parts', 'take']

# Bytes of images that are worked on at once, and those that are read at once,
# of which a thread holds two copies.
_AT_ONCE, _READ = 2**25, 2**21
# Batches that are read ahead, by as many threads.
_AHEAD = 4


class Stored:
  """What stands for an array of images, and reads those that are asked for.

  Attributes:
    shape: [n, height, width, channels].
    dtype: of a pixel.
  """

  def __init__(
    self,
    read: Callable[[np.ndarray], np.ndarray],
    records: np.ndarray,
    shape: tuple[int, ...],
    dtype: np.dtype,
  ):
    """Nothing is read yet.

    Args:
      read: (numbers of records) -> their images, from any thread.
      records: [n], which record each image is.
      shape: of an image.
      dtype: of a pixel.
    """
    self.shape, self.dtype = (len(records), *shape), np.dtype(dtype)
    self._read, self._records = read, records

  @property
  def nbytes(self) -> int:
    """What all of them would take in memory."""
    return math.prod(self.shape) * self.dtype.itemsize

  def __len__(self) -> int:
    return len(self._records)

  def at(self, positions: np.ndarray) -> 'Stored':
    """Those at positions, unread."""
    own = self._records[positions]
    return Stored(self._read, own, self.shape[1:], self.dtype)

  def __getitem__(self, positions: np.ndarray) -> np.ndarray:
    """Those at positions, read now."""
    return self._read(self._records[positions])

  def batches(self, positions: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Those at each of the positions, read ahead by threads of Grain's."""
    import grain

    options = grain.ReadOptions(_AHEAD, prefetch_buffer_size=_AHEAD)
    ahead = grain.MapDataset.source(_Batches(self, positions))
    iterator = iter(ahead.to_iter_dataset(options))
    try:
      yield from iterator
    finally:
      iterator.close()


class _Batches:
  """As Grain asks for a source: one whose elements are batches."""

  def __init__(self, images: Stored, positions: Sequence[np.ndarray]):
    self._images, self._positions = images, positions

  def __len__(self) -> int:
    return len(self._positions)

  def __getitem__(self, number: int) -> np.ndarray:
    return self._images[self._positions[number]]


def take(images: np.ndarray | Stored, positions: np.ndarray):
  """Images at positions, of the kind that they are taken from.

  All of them, in order, are no copy of what may be most of the memory.
  """
  if isinstance(images, Stored):
    return images.at(positions)
  return images if len(positions) == len(images) else images[positions]


def parts(images: np.ndarray | Stored) -> Iterator[np.ndarray]:
  """All images, in order, some MiB at a time."""
  row = math.prod(images.shape[1:]) * images.dtype.itemsize
  most = _READ if isinstance(images, Stored) else _AT_ONCE
  size = max(1, most // max(1, row))
  starts = range(0, len(images), size)
  if isinstance(images, Stored):
    ends = [min(x + size, len(images)) for x in starts]
    yield from images.batches(list(map(np.arange, starts, ends)))
  else:
    yield from (images[x : x + size] for x in starts)
