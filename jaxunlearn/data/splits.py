"""A data set, cut into what is forgotten, what is retained, and test."""

from typing import NamedTuple

import numpy as np

from jaxunlearn.data.requests import Request
from jaxunlearn.data.sources import Dataset
from jaxunlearn.data.stored import Stored, take
from jaxunlearn.errors import InputError

__all__ = ['Splits', 'split', 'subset']

# First word of the seed sequence: with it the draws of data.seed = 0 are
# independent of each other and of those of forget.seed = 0 (see requests.py).
_TRAIN, _TEST = 3, 4


Part = dict[str, np.ndarray | Stored]


class Splits(NamedTuple):
  """`image` and `label` of each, by ascending position.

  Attributes:
    forget: what is to be forgotten, with the labels that are trained on.
    retain: the rest of the training examples.
    test: never trained on.
    train: forget and retain together.
  """

  forget: Part
  retain: Part
  test: Part
  train: Part


def subset(
  dataset: Dataset,
  num_train: int | None = None,
  num_test: int | None = None,
  seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
  """Seeded subsets of the training and the test set.

  Of one seed, a smaller subset is part of a larger.

  Args:
    dataset: the full data.
    num_train: how many training examples, at least 2; None for all.
    num_test: how many test examples, at least 1; None for all.
    seed: at least 0.

  Returns:
    Positions in the training set and in the test set, int64, sorted.

  Raises:
    InputError: more than there are or too few; a negative seed.
  """
  if seed < 0:
    raise InputError(f'data.seed is {seed}, but must be 0 or more.')
  return (
    _drawn('num_train', num_train, 2, len(dataset.y_train), [_TRAIN, seed]),
    _drawn('num_test', num_test, 1, len(dataset.y_test), [_TEST, seed]),
  )


def _drawn(
  name: str, count: int | None, least: int, most: int, seed: list[int]
) -> np.ndarray:
  if count is None:
    return np.arange(most, dtype=np.int64)
  if not least <= count <= most:
    raise InputError(
      f'data.{name} is {count}, but must be from {least} to {most}, which are '
      'all there are.'
    )
  return np.sort(np.random.default_rng(seed).permutation(most)[:count])


def split(
  dataset: Dataset,
  train_positions: np.ndarray,
  test_positions: np.ndarray,
  request: Request,
) -> Splits:
  """Forget, retain, test and train.

  Args:
    dataset: the full data.
    train_positions: [m] int64, those trained on.
    test_positions: [k] int64.
    request: what of `train_positions` is to be forgotten.
  """
  labels = dataset.y_train
  if request.labels_after is not None:
    labels = labels.copy()
    labels[request.positions] = request.labels_after
  retained = np.setdiff1d(train_positions, request.positions)
  return Splits(
    forget=_part(dataset.x_train, labels, request.positions),
    retain=_part(dataset.x_train, labels, retained),
    test=_part(dataset.x_test, dataset.y_test, test_positions),
    train=_part(dataset.x_train, labels, train_positions),
  )


def _part(
  images: np.ndarray | Stored, labels: np.ndarray, positions: np.ndarray
) -> Part:
  return {'image': take(images, positions), 'label': labels[positions]}
