"""A source whose images are read from disk when a step needs them."""

import dataclasses
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from jaxunlearn.data.stored import Stored
from jaxunlearn.types import Array, Batch, traced

__all__ = ['Stream']


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
  """A `Source` that holds labels alone.

  Attributes:
    image: [n, height, width, channels], on disk.
    label: [n] int32.
    sharding: how a batch lies on devices, where they divide it evenly; else it
      lies whole on each. Each process reads what its devices hold. None: on
      the default device.
  """

  image: Stored
  label: np.ndarray
  sharding: NamedSharding | None = None

  def __len__(self) -> int:
    return len(self.label)

  def take(self, indices: Array) -> Batch:
    """Examples at `indices`, which must be in range.

    Where they are traced, a callback reads them on the host.
    """
    if traced(indices):
      like = {
        'image': (self.image.shape[1:], self.image.dtype),
        'label': ((), jnp.int32),
        'index': ((), jnp.int32),
      }
      like = {
        name: jax.ShapeDtypeStruct((len(indices), *shape), dtype)
        for name, (shape, dtype) in like.items()
      }
      alone = dataclasses.replace(self, sharding=None)
      return jax.pure_callback(alone.take, like, indices)
    indices = np.asarray(indices, np.int32)
    return self._batch(indices, self.image[self._mine(indices)])

  def batches(self, positions: Sequence[np.ndarray]) -> Iterator[Batch]:
    """Batches at positions, one after another, read ahead."""
    read = self.image.batches([self._mine(x) for x in positions])
    for where, images in zip(positions, read, strict=True):
      yield self._batch(np.asarray(where, np.int32), images)

  def _mine(self, indices: np.ndarray) -> np.ndarray:
    """Those that lie on a device of this process."""
    return np.asarray(indices)[self._rows(len(indices))]

  def _rows(self, count: int) -> np.ndarray:
    """Which rows of a batch lie on a device of this process, ascending."""
    if self.sharding is None:
      return np.arange(count)
    held = self._place(count).addressable_devices_indices_map((count,))
    return np.unique([np.arange(count)[index] for index in held.values()])

  def _place(self, count: int) -> NamedSharding:
    even = count % self.sharding.num_devices == 0
    whole = NamedSharding(self.sharding.mesh, PartitionSpec())
    return self.sharding if even else whole

  def _batch(self, indices: np.ndarray, images: np.ndarray) -> Batch:
    """Of all indices, with the images that lie here."""
    count = len(indices)
    if self.sharding is None:
      parts = (images, self.label[indices], indices)
      parts = map(jnp.asarray, parts)
    else:
      rows, place = self._rows(count), self._place(count)
      everything = np.arange(count)

      def put(array: np.ndarray, known: np.ndarray) -> jax.Array:
        """An array of which the known rows are held here."""
        return jax.make_array_from_callback(
          (count, *array.shape[1:]),
          place,
          lambda index: array[np.searchsorted(known, everything[index[0]])],
        )

      parts = (
        put(images, rows),
        put(self.label[indices], everything),
        put(indices, everything),
      )
    return dict(zip(('image', 'label', 'index'), parts, strict=True))
