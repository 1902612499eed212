"""Forget requests: which training examples are to be forgotten.

Positions count in the source's full training set, before `data.num_train`
takes its subset; they are sorted, int64, and each is in the subset.
"""

import difflib
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxunlearn.data import request_files
from jaxunlearn.errors import InputError

__all__ = [
  'Request',
  'by_class',
  'from_file',
  'mislabelled',
  'random',
  'resolve',
]

# First word of the seed sequence: with it the draws of forget.seed = 0 are
# independent of each other and of those of data.seed = 0 (see splits.py).
_POSITIONS, _LABELS = 1, 2


class Request(NamedTuple):
  """What is to be forgotten.

  Attributes:
    kind: `random`, `class`, `indices` or `mislabelled`.
    positions: [n] int64, sorted.
    labels_before: [n] int32, the true labels; None unless mislabelled.
    labels_after: [n] int32, the labels trained on; None unless mislabelled.
  """

  kind: str
  positions: np.ndarray
  labels_before: np.ndarray | None = None
  labels_after: np.ndarray | None = None


def random(subset: np.ndarray, fraction: float, seed: int) -> np.ndarray:
  """A seeded share of the subset, drawn without replacement.

  Of one seed, the draw of a smaller fraction is part of that of a larger.

  Args:
    subset: [m] int64 positions that the run trains on.
    fraction: in (0, 1); round(fraction * m) positions are drawn.
    seed: at least 0.

  Returns:
    [n] int64, sorted positions.

  Raises:
    InputError: a fraction that is not in (0, 1), or that selects nothing or
      everything; a negative seed.

  Example:
    >>> random(np.arange(100, 120), 0.2, seed=0).size
    4
  """
  if not isinstance(fraction, numbers.Real) or not 0 < fraction < 1:
    raise InputError(
      f'forget.fraction is {fraction!r}, but must lie between 0 and 1, as 0.1 '
      'does.'
    )
  count = round(fraction * len(subset))
  if not 0 < count < len(subset):
    raise InputError(
      f'forget.fraction = {fraction} of {len(subset)} training examples '
      f'selects {count}; at least 1 must be forgotten and 1 retained.'
    )
  drawn = _generator(_POSITIONS, seed).permutation(subset)[:count]
  return np.sort(drawn).astype(np.int64)


def by_class(
  labels: np.ndarray, subset: np.ndarray, classes: Sequence[int]
) -> np.ndarray:
  """Every example of some classes.

  Args:
    labels: [n] int, of the full training set.
    subset: [m] int64 positions that the run trains on.
    classes: the classes to forget.

  Returns:
    [n] int64, sorted positions.

  Raises:
    InputError: no class, one that is unknown, not in the subset or named
      twice; or all classes.

  Example:
    >>> by_class(np.array([0, 1, 2, 1]), np.array([0, 1, 2, 3]), [1])
    array([1, 3])
  """
  if not classes:
    raise InputError('forget.classes is empty; name a class, as in (3,).')
  present = np.unique(labels[subset])
  for place, label in enumerate(classes):
    if isinstance(label, bool) or not isinstance(label, numbers.Integral):
      raise InputError(
        f'forget.classes holds {label!r}; a class is an integer.'
      )
    if label not in present:
      raise InputError(
        f'forget.classes holds {label!r}, but no example trained on has '
        f'that label; the classes are {present.min()} to {present.max()}.'
      )
    if label in classes[:place]:
      raise InputError(f'forget.classes holds {label} twice; name it once.')
  chosen = subset[np.isin(labels[subset], classes)]
  return _checked('forget.classes', chosen, subset)


def from_file(path: str, num_train: int, subset: np.ndarray) -> np.ndarray:
  """The positions that a file lists.

  Args:
    path: .npy, .txt, .csv or .json, as `request_files.read` has them.
    num_train: how many examples the full training set has.
    subset: [m] int64 positions that the run trains on.

  Returns:
    [n] int64, sorted positions.

  Raises:
    InputError: what `request_files.read` raises; a position outside the
      subset; a request for nothing, or for everything.
  """
  if not path:
    raise InputError('forget.path is empty; name a file that lists positions.')
  positions = request_files.read(path, num_train)
  return _checked(path, positions, subset)


def mislabelled(
  labels: np.ndarray,
  subset: np.ndarray,
  num_classes: int,
  fraction: float,
  seed: int,
) -> Request:
  """A seeded share of the subset, each with a wrong label to train on.

  A wrong label is uniform over the other classes. The positions are those of
  `random` with the same fraction and seed.

  Args:
    labels: [n] int, of the full training set.
    subset: [m] int64 positions that the run trains on.
    num_classes: at least 2.
    fraction: in (0, 1).
    seed: at least 0.

  Raises:
    InputError: as `random`.
  """
  positions = random(subset, fraction, seed)
  before = labels[positions].astype(np.int32)
  shift = _generator(_LABELS, seed).integers(1, num_classes, len(positions))
  after = ((before + shift) % num_classes).astype(np.int32)
  return Request('mislabelled', positions, before, after)


def resolve(
  settings: Mapping[str, Any],
  labels: np.ndarray,
  subset: np.ndarray,
  num_classes: int,
) -> Request:
  """The request that a config's `forget` describes.

  Args:
    settings: kind, fraction, classes, path and seed; each kind reads its own.
    labels: [n] int, of the full training set.
    subset: [m] int64 positions that the run trains on.
    num_classes: of the data set.

  Raises:
    InputError: an unknown kind, or what the kind's own function raises.
  """
  kind = settings['kind']
  if kind not in _KINDS:
    match = difflib.get_close_matches(str(kind), _KINDS, n=1)
    nearest = f'; the nearest is {match[0]}' if match else ''
    raise InputError(
      f'forget.kind is {kind!r}, but must be one of '
      f'{", ".join(_KINDS)}{nearest}.'
    )
  return _KINDS[kind](settings, labels, subset, num_classes)


def _random(settings, labels, subset, num_classes):
  del labels, num_classes
  positions = random(subset, settings['fraction'], settings['seed'])
  return Request('random', positions)


def _by_class(settings, labels, subset, num_classes):
  del num_classes
  return Request('class', by_class(labels, subset, settings['classes']))


def _from_file(settings, labels, subset, num_classes):
  del num_classes
  return Request('indices', from_file(settings['path'], len(labels), subset))


def _mislabelled(settings, labels, subset, num_classes):
  return mislabelled(
    labels, subset, num_classes, settings['fraction'], settings['seed']
  )


_KINDS = {
  'random': _random,
  'class': _by_class,
  'indices': _from_file,
  'mislabelled': _mislabelled,
}


def _generator(draw: int, seed: int) -> np.random.Generator:
  if seed < 0:
    raise InputError(f'forget.seed is {seed}, but must be 0 or more.')
  return np.random.default_rng([draw, seed])


def _checked(
  where: str, positions: np.ndarray, subset: np.ndarray
) -> np.ndarray:
  if not len(positions):
    raise InputError(f'{where} requests nothing; name what is to be forgotten.')
  outside = positions[~np.isin(positions, subset)]
  if len(outside):
    raise InputError(
      f'{where} requests position {outside[0]}, which is not trained on: '
      f'data.num_train and data.seed chose {len(subset)} others.'
    )
  if len(positions) == len(subset):
    raise InputError(
      f'{where} requests all {len(subset)} training examples; leave some to '
      'retain.'
    )
  return np.sort(positions).astype(np.int64)
