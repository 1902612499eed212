"""Where images come from: embedded digits, an .npz file, or a TFDS set."""

import difflib
import importlib.util
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from jaxunlearn import files, fingerprint, memory, npz
from jaxunlearn.data import tfds
from jaxunlearn.data.stored import Stored
from jaxunlearn.errors import InputError
from jaxunlearn.hosts import any_of, together

__all__ = ['Dataset', 'load', 'sha256']

_ARRAYS = ('x_train', 'y_train', 'x_test', 'y_test')

# ImageNet-21k has 21,841; a larger label is an identifier, not a class.
_MAX_CLASSES = 2**16


class Dataset(NamedTuple):
  """Images and labels, checked.

  Attributes:
    name: the source that it was loaded from.
    x_train: [n, height, width, channels], uint8, or float32 in [0, 1]; in
      memory, or on disk.
    y_train: [n] int32, classes from 0.
    x_test: [m, height, width, channels], as `x_train`.
    y_test: [m] int32.
  """

  name: str
  x_train: np.ndarray | Stored
  y_train: np.ndarray
  x_test: np.ndarray | Stored
  y_test: np.ndarray

  @property
  def num_classes(self) -> int:
    """1 + the largest label of the training set."""
    return 1 + int(self.y_train.max())


def load(source: str, dir: str = '', stream: str = 'never') -> Dataset:
  """The data set that `source` names.

  Args:
    source: one of
      `digits`: scikit-learn's 1,797 digits, 8x8x1, uint8; 360 of them test.
      `npz:PATH`: a file with `x_train`, `y_train`, `x_test`, `y_test`; images
        [n, height, width, channels] or [n, height, width] (one channel),
        uint8 or float in [0, 1]; labels integers.
      `tfds:NAME`: a prepared TFDS set with `image` and `label`, in the order
        of `id` where it has one: on disk examples are shuffled.
    dir: where TFDS keeps its sets; empty for its own default.
    stream: whether images stay on disk until they are asked for, which
      `tfds:NAME` alone can: 'never', 'always', or 'auto', where three times
      their size is more than half of the memory, or without Grain all of it.

  Raises:
    InputError: an unknown source; a file that is missing or damaged; arrays
      that are not images with labels; a TFDS set that is not prepared.

  Example:
    >>> load('digits').x_train.shape
    (1437, 8, 8, 1)
  """
  kind, _, name = source.partition(':')
  if source == 'digits':
    arrays = _digits()
  elif kind == 'npz' and name:
    arrays = _npz(name)
  elif kind == 'tfds' and name:
    stays = _stays_on_disk(stream, lambda: tfds.size(name, dir))
    arrays = (tfds.stored if stays else tfds.read)(name, dir)
  else:
    match = difflib.get_close_matches(kind.lower(), ('digits', 'npz', 'tfds'))
    nearest = f'; the nearest is {match[0]}' if match else ''
    raise InputError(
      f'data.source is {source[:80]!r}, but a source is digits, npz:PATH or '
      f'tfds:NAME{nearest}.'
    )
  if stream == 'always' and kind != 'tfds':
    raise InputError(
      f'data.stream is always, but {source[:80]} is read whole: give '
      'tfds:NAME, or set data.stream to auto.'
    )
  return _checked(source, arrays)


def sha256(dataset: Dataset) -> str:
  """Digest of the four arrays, by `fingerprint.sha256`; the name is left out.

  Example:
    >>> sha256(load('digits'))[:16]
    'e50c5a546b121459'
  """
  return fingerprint.sha256({name: getattr(dataset, name) for name in _ARRAYS})


def _stays_on_disk(stream: str, size: Callable[[], int]) -> bool:
  if stream == 'never':
    return False
  lacking = importlib.util.find_spec('grain') is None
  if stream == 'auto':
    needed = 3 * together(size)
    wanted, must = (not memory.holds(needed, share) for share in (0.5, 1))
    # What one process must, all do.
    wanted, must, lacking = any_of(wanted, must, lacking)
    if not wanted or (lacking and not must):
      return False
  if lacking:
    raise InputError(
      f'data.stream is {stream}, and images that stay on disk are read with '
      "Grain: pip install 'jaxunlearn[stream]', or set data.stream to never."
    )
  return True


def _digits() -> dict[str, np.ndarray]:
  from sklearn.datasets import load_digits

  bunch = load_digits()
  # Shuffled, because the set comes writer by writer.
  order = np.random.default_rng(0).permutation(len(bunch.target))
  images = np.rint(bunch.images[order] * (255 / 16)).astype(np.uint8)
  labels = bunch.target[order]
  return {
    'x_train': images[:-360],
    'y_train': labels[:-360],
    'x_test': images[-360:],
    'y_test': labels[-360:],
  }


def _npz(name: str) -> dict[str, np.ndarray]:
  path = files.expand(name)
  try:
    arrays = npz.unpack(path, _ARRAYS)
  except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
    raise InputError(f'{path} cannot be read: {error.strerror}.') from error
  except InputError:
    raise
  except (OSError, ValueError) as error:
    raise InputError(
      f'{path} is no .npz file, is damaged, or holds pickled objects; write it '
      'again with numpy.savez.'
    ) from error
  missing = [name for name in _ARRAYS if name not in arrays]
  if missing:
    raise InputError(
      f'{path} lacks {", ".join(missing)}; it must hold {", ".join(_ARRAYS)}.'
    )
  return arrays


def _checked(name: str, arrays: Mapping[str, np.ndarray]) -> Dataset:
  x_train = _images(f'{name}: x_train', arrays['x_train'])
  x_test = _images(f'{name}: x_test', arrays['x_test'])
  y_train = _labels(f'{name}: y_train', arrays['y_train'], len(x_train))
  y_test = _labels(f'{name}: y_test', arrays['y_test'], len(x_test))
  if x_train.shape[1:] != x_test.shape[1:] or x_train.dtype != x_test.dtype:
    raise InputError(
      f'{name}: training images are {x_train.dtype} of shape '
      f'{x_train.shape[1:]}, test images {x_test.dtype} of shape '
      f'{x_test.shape[1:]}; make them alike.'
    )
  if (y_train == y_train[0]).all():
    raise InputError(
      f'{name}: y_train has the one label {y_train[0]}; a classifier needs at '
      'least 2 classes.'
    )
  if y_test.max() > y_train.max():
    raise InputError(
      f'{name}: y_test[{y_test.argmax()}] is {y_test.max()}, but the classes '
      f'of y_train end at {y_train.max()}; make both sets of one labelling.'
    )
  return Dataset(name, x_train, y_train, x_test, y_test)


def _images(where: str, array: np.ndarray | Stored) -> np.ndarray | Stored:
  shape = array.shape
  if len(shape) == 3 and not isinstance(array, Stored):
    array = array[..., None]
  if len(array.shape) != 4 or not 1 <= array.shape[-1] <= 4:
    raise InputError(
      f'{where} has shape {shape}, but images are [n, height, width, channels] '
      'with 1 to 4 channels, or [n, height, width].'
    )
  if 0 in shape:
    raise InputError(f'{where} has shape {shape}, which holds no pixel.')
  if array.dtype == np.uint8:
    return array
  if isinstance(array, Stored):
    raise InputError(
      f'{where} is {array.dtype}, and images that stay on disk are uint8: set '
      'data.stream to never.'
    )
  if array.dtype.kind != 'f':
    raise InputError(
      f'{where} is {array.dtype}, but images are uint8, or float in [0, 1].'
    )
  # NaN is in no range, so this finds it too.
  good = np.array([(x >= 0).all() and (x <= 1).all() for x in array])
  if not good.all():
    raise InputError(
      f'{where}[{good.argmin()}] has a pixel that is NaN or outside [0, 1]; '
      'rescale float images, or store them as uint8.'
    )
  return array.astype(np.float32, copy=False)


def _labels(where: str, array: np.ndarray, length: int) -> np.ndarray:
  if array.ndim != 1 or array.dtype.kind not in 'iu':
    raise InputError(
      f'{where} is {array.dtype} of shape {array.shape}, but labels are '
      'integers of shape [n].'
    )
  if len(array) != length:
    raise InputError(
      f'{where} has {len(array)} labels for {length} images; there must be one '
      'for each.'
    )
  good = (array >= 0) & (array < _MAX_CLASSES)
  if not good.all():
    raise InputError(
      f'{where}[{good.argmin()}] is {array[good.argmin()]}, but labels are '
      f'classes numbered from 0 (at most {_MAX_CLASSES} of them).'
    )
  return array.astype(np.int32)
