"""Which examples go into which step: a function of key and position alone."""

from collections.abc import Iterator, Mapping, Sequence

import jax
import numpy as np

from jaxunlearn.types import Array, Batch, Resident, Source

__all__ = [
  'cycle',
  'epoch',
  'once_each',
  'read',
  'schedule',
  'steps_per_epoch',
]


def steps_per_epoch(size: int, batch_size: int) -> int:
  """max(1, size // batch_size): an incomplete last batch is dropped."""
  return max(1, size // batch_size)


def epoch(key: Array, number: int, size: int, batch_size: int) -> np.ndarray:
  """Positions of one shuffled pass over `size` examples.

  Args:
    key: of the shuffle; the same for all epochs of a run.
    number: of the epoch, from 0.
    size: examples there are.
    batch_size: examples in a step; all of them, where there are fewer.

  Returns:
    int32 [steps_per_epoch, min(batch_size, size)], no position twice.
  """
  steps = steps_per_epoch(size, batch_size)
  batch_size = min(batch_size, size)
  order = _permutation(key, number, size)
  return order[: steps * batch_size].reshape(steps, batch_size)


def cycle(key: Array, start: int, stop: int, size: int) -> np.ndarray:
  """Entries start to stop of an endless stream of reshuffled passes.

  Example:
    >>> stream = cycle(jax.random.key(0), 3, 9, size=3)
    >>> sorted(stream[:3].tolist()), sorted(stream[3:].tolist())
    ([0, 1, 2], [0, 1, 2])

  Args:
    key: of the shuffles.
    start: the first entry.
    stop: one past the last.
    size: examples there are.

  Returns:
    int32 [stop - start]; each run of `size` entries that begins at a multiple
    of `size` holds each position once.
  """
  first, last = start // size, -(-stop // size)
  passes = [_permutation(key, number, size) for number in range(first, last)]
  return np.concatenate(passes)[start - first * size : stop - first * size]


def schedule(
  key: Array, number: int, sizes: Mapping[str, int], batch_size: int
) -> dict[str, np.ndarray]:
  """Positions for each step of an epoch, on each split.

  Args:
    key: of the shuffles.
    number: of the epoch, from 0.
    sizes: {split: examples}. The first leads: the epoch is one pass over it.
      The others are cycled through, min(batch_size, size) a step.
    batch_size: examples in a step.

  Returns:
    {split: int32 [steps, batch]}.
  """
  (lead, lead_size), *others = sizes.items()
  keys = jax.random.split(key, len(sizes))
  positions = {lead: epoch(keys[0], number, lead_size, batch_size)}
  steps = len(positions[lead])
  for split_key, (split, size) in zip(keys[1:], others, strict=True):
    batch = min(batch_size, size)
    start = number * steps * batch
    stream = cycle(split_key, start, start + steps * batch, size)
    positions[split] = stream.reshape(steps, batch)
  return positions


def once_each(source: Source, batch_size: int) -> list[np.ndarray]:
  """Positions of each example once, in order.

  Args:
    source: may have a `sharding`, of devices that share a batch evenly.
    batch_size: examples in a batch; all of them, where there are fewer; and up
      to the next multiple of those devices.

  Returns:
    int32 [batch] each. The last goes on with the first examples, so that all
    are of one size.

  Raises:
    ValueError: a batch size below 1.
  """
  if batch_size < 1:
    raise ValueError(f'a batch needs at least one example, not {batch_size}.')
  size, sharding = len(source), getattr(source, 'sharding', None)
  devices = sharding.num_devices if sharding else 1
  batch_size = -(-min(batch_size, size) // devices) * devices
  return [
    np.arange(start, start + batch_size, dtype=np.int32) % size
    for start in range(0, size, batch_size)
  ]


def read(source: Source, positions: Sequence[np.ndarray]) -> Iterator[Batch]:
  """Batches at positions, one after another.

  Args:
    source: may have `batches`, which takes positions and reads ahead.
    positions: of the examples of each batch.
  """
  ahead = getattr(source, 'batches', None)
  if ahead:
    return ahead(positions)
  if isinstance(source, Resident):
    return (_take(source, where) for where in positions)
  return map(source.take, positions)


# One program: one operation after another takes a GPU's host 10 ms a batch.
@jax.jit
def _take(source: Resident, positions: Array) -> Batch:
  return source.take(positions)


def _permutation(key: Array, number: int, size: int) -> np.ndarray:
  key = jax.random.fold_in(key, number)
  return np.asarray(jax.random.permutation(key, size), np.int32)
