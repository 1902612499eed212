"""Sets that TensorFlow Datasets has prepared, read without TensorFlow."""

import contextlib
import functools
import math
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
from absl import logging

from jaxunlearn import files, memory
from jaxunlearn.data.stored import Stored
from jaxunlearn.errors import InputError

__all__ = ['read', 'size', 'stored']

_SPLITS = ('train', 'test')
# Records that are read at once where their images are not wanted.
_MANY = 10_000


def read(name: str, dir: str = '') -> dict[str, np.ndarray]:
  """The four arrays of a prepared TFDS set, as they are stored.

  Needs no TensorFlow. Examples are in the order of their `id` where they have
  one, because on disk they are shuffled.

  Args:
    name: a set with `image` and `label`, such as `cifar10` or `mnist:3.0.1`.
    dir: where TFDS keeps its sets; empty for its own default.

  Returns:
    `x_train`, `y_train`, `x_test` and `y_test`, unchecked.

  Raises:
    InputError: not prepared, damaged, only readable by TensorFlow, without
      what a classifier needs, or of images of different sizes.
  """
  with _reading(name, dir) as builder:
    splits = {split: _examples(builder, split) for split in _SPLITS}
  return {
    f'{axis}_{split}': _stacked(f'tfds:{name}: {field}', examples, field)
    for split, examples in splits.items()
    for axis, field in (('x', 'image'), ('y', 'label'))
  }


def stored(name: str, dir: str = '') -> dict[str, np.ndarray | Stored]:
  """As `read`, with images that stay on disk until they are asked for.

  Raises:
    InputError: as `read`; of images, when they are read.
  """
  found = {}
  with _reading(name, dir) as builder:
    for split in _SPLITS:
      found[f'y_{split}'], records = _labels(builder, split)
      found[f'x_{split}'] = _images(name, dir, builder, split, records)
  return found


def size(name: str, dir: str = '') -> int:
  """Bytes of all images in memory.

  Raises:
    InputError: as `read`.
  """
  with _reading(name, dir) as builder:
    return sum(_size(builder, split) for split in _SPLITS)


@contextlib.contextmanager
def _reading(name: str, dir: str) -> Iterator[Any]:
  """The set's builder; what goes wrong within is a sentence."""
  import tensorflow_datasets as tfds
  from tensorflow_datasets.core import read_only_builder

  source, root = f'tfds:{name}', _root(dir)
  if not re.fullmatch(r'\w+(/[^\s:/]+)?(:[\d.*]+)?', name):
    raise InputError(
      f'{source[:80]!r} is no TFDS name; one is NAME, NAME/CONFIG or '
      'NAME:VERSION, such as cifar10 or mnist:3.0.1.'
    )
  with _told(name, root):
    try:
      # Unlike `tfds.builder`, this never asks the network.
      builder = read_only_builder.builder_from_files(name, data_dir=root)
    except tfds.core.DatasetNotFoundError as error:
      raise InputError(
        f'{source} is not prepared in {root}; {_remedy(name, root)}.'
      ) from error
    _require('splits', set(_SPLITS), builder.info.splits)
    _require('features', {'image', 'label'}, builder.info.features.keys())
    try:
      yield builder
    except NotImplementedError as error:
      raise InputError(
        f'{source} in {root} is stored as {builder.info.file_format.value}, '
        'which only TensorFlow reads; for a data.dir of its own, '
        f'{_remedy(name, root.with_name(root.name + "_array_record"))}.'
      ) from error


@contextlib.contextmanager
def _told(name: str, root: pathlib.Path) -> Iterator[None]:
  """Within it, what a damaged set raises is a sentence."""
  from google.protobuf import json_format, message

  try:
    yield
  except (InputError, NotImplementedError):
    raise
  except (
    ImportError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    json_format.Error,
    message.Error,
  ) as error:
    files.check_whole(f'tfds:{name} in {root}', error)
    raise InputError(
      f'tfds:{name} in {root} cannot be read ({_line(error)}); delete it '
      f'there, and {_remedy(name, root)}.'
    ) from error


def _root(dir: str) -> pathlib.Path:
  from tensorflow_datasets.core import constants

  return files.expand(dir or constants.DATA_DIR)


def _remedy(name: str, root: pathlib.Path) -> str:
  # Not `tfds build`: that one needs Apache Beam as well.
  return (
    "prepare it with: pip install 'jaxunlearn[tfds-prepare]' && python -c "
    f'"import tensorflow_datasets as tfds; tfds.builder({name!r}, '
    f"data_dir={str(root)!r}, file_format='array_record')"
    '.download_and_prepare()"'
  )


def _examples(builder: Any, split: str) -> Sequence[Mapping[str, Any]]:
  # All images have room, twice: singly and stacked.
  what = f'the {split} split of {builder.info.full_name}'
  memory.check_fits(what, 2 * _size(builder, split))
  _quiet_about_opencv()
  source = builder.as_data_source(split=split)
  examples = source.__getitems__(range(len(source)))
  if _has_id(builder):
    examples = sorted(examples, key=lambda example: example['id'])
  return examples


def _has_id(builder: Any) -> bool:
  features = builder.info.features
  return 'id' in features and features['id'].shape == ()


def _size(builder: Any, split: str) -> int:
  image, info = builder.info.features['image'], builder.info.splits[split]
  shape = image.shape
  if None in shape:
    # As large as the first, then; others are refused where they are read.
    _quiet_about_opencv()
    shape = np.shape(builder.as_data_source(split=split)[0]['image'])
  return (
    info.num_examples * math.prod(shape) * np.dtype(image.np_dtype).itemsize
  )


def _labels(builder: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
  """Labels, and the number of each record, in the order of `id`."""
  import tensorflow_datasets as tfds

  skip = {'image': tfds.decode.SkipDecoding()}
  source = builder.as_data_source(split=split, decoders=skip)
  labels, names = [], []
  for start in range(0, len(source), _MANY):
    numbers = range(start, min(start + _MANY, len(source)))
    examples = source.__getitems__(numbers)
    labels += [example['label'] for example in examples]
    if _has_id(builder):
      names += [example['id'] for example in examples]
  records = np.arange(len(labels))
  if names:
    records = np.array(sorted(records, key=names.__getitem__))
  return np.array(labels)[records], records


def _images(
  name: str, dir: str, builder: Any, split: str, records: np.ndarray
) -> Stored:
  _quiet_about_opencv()
  source, root = builder.as_data_source(split=split), _root(dir)

  def read(numbers: np.ndarray) -> np.ndarray:
    with _told(name, root):
      examples = source.__getitems__(numbers.tolist())
      images = _stacked(f'tfds:{name}: image', examples, 'image')
    if images.shape[1:] != shape:
      raise _unlike(f'tfds:{name}: image', shape, images.shape[1:])
    return images

  first = np.asarray(source[0]['image'])
  shape = first.shape
  return Stored(read, records, shape, first.dtype)


def _require(what: str, needed: Set[str], present: Iterable[str]) -> None:
  if not needed <= set(present):
    raise InputError(
      f'data.source has the {what} {", ".join(sorted(present))}, but '
      f'{" and ".join(sorted(needed))} are needed; choose another TFDS set, or '
      'write this one to an .npz file.'
    )


@functools.cache
def _quiet_about_opencv() -> None:
  # TFDS warns that Pillow, which reads the same pixels, is slower.
  def wanted(record):
    return 'OpenCV is not installed' not in str(record.msg)

  logging.get_absl_logger().addFilter(wanted)


def _stacked(
  where: str, examples: Sequence[Mapping[str, Any]], field: str
) -> np.ndarray:
  shapes = sorted({np.shape(example[field]) for example in examples})
  if len(shapes) > 1:
    raise _unlike(where, shapes[0], shapes[-1])
  return np.array([example[field] for example in examples])


def _unlike(where: str, one: tuple, other: tuple) -> InputError:
  return InputError(
    f'{where} has examples of different shapes, such as {one} and {other}; '
    'resize them to one and use npz:PATH.'
  )


def _line(error: BaseException) -> str:
  text = ' '.join(str(error).split()) or type(error).__name__
  return text if len(text) <= 120 else text[:119] + '…'
