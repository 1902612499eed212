"""Sets that TensorFlow Datasets has prepared, read without TensorFlow."""

import contextlib
import math
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
from absl import logging

from jaxunlearn import files, memory
from jaxunlearn.errors import InputError

__all__ = ['read']


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
  import tensorflow_datasets as tfds
  from google.protobuf import json_format, message
  from tensorflow_datasets.core import constants, read_only_builder

  source = f'tfds:{name}'
  root = files.expand(dir or constants.DATA_DIR)
  if not re.fullmatch(r'\w+(/[^\s:/]+)?(:[\d.*]+)?', name):
    raise InputError(
      f'{source[:80]!r} is no TFDS name; one is NAME, NAME/CONFIG or '
      'NAME:VERSION, such as cifar10 or mnist:3.0.1.'
    )
  try:
    # Unlike `tfds.builder`, this never asks the network.
    builder = read_only_builder.builder_from_files(name, data_dir=root)
    splits = {split: _examples(builder, split) for split in ('train', 'test')}
  except InputError:
    raise
  except tfds.core.DatasetNotFoundError as error:
    raise InputError(
      f'{source} is not prepared in {root}; {_remedy(name, root)}.'
    ) from error
  except NotImplementedError as error:
    raise InputError(
      f'{source} in {root} is stored as {builder.info.file_format.value}, '
      'which only TensorFlow reads; for a data.dir of its own, '
      f'{_remedy(name, root.with_name(root.name + "_array_record"))}.'
    ) from error
  except (
    ImportError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    json_format.Error,
    message.Error,
  ) as error:
    raise InputError(
      f'{source} in {root} cannot be read ({_line(error)}); delete it there, '
      f'and {_remedy(name, root)}.'
    ) from error
  return {
    f'{axis}_{split}': _stacked(f'{source}: {field}', examples, field)
    for split, examples in splits.items()
    for axis, field in (('x', 'image'), ('y', 'label'))
  }


def _remedy(name: str, root: pathlib.Path) -> str:
  # Not `tfds build`: that one needs Apache Beam as well.
  return (
    "prepare it with: pip install 'jaxunlearn[tfds-prepare]' && python -c "
    f'"import tensorflow_datasets as tfds; tfds.builder({name!r}, '
    f"data_dir={str(root)!r}, file_format='array_record')"
    '.download_and_prepare()"'
  )


def _examples(builder: Any, split: str) -> Sequence[Mapping[str, Any]]:
  features = builder.info.features
  _require('features', {'image', 'label'}, features.keys())
  _require('splits', {'train', 'test'}, builder.info.splits)
  _check_fits(builder, split)
  source = builder.as_data_source(split=split)
  with _quiet_about_opencv():
    examples = source.__getitems__(range(len(source)))
  if 'id' in features and features['id'].shape == ():
    examples = sorted(examples, key=lambda example: example['id'])
  return examples


def _check_fits(builder: Any, split: str) -> None:
  """Checks that all images of a split have room, twice: singly and stacked."""
  shape, info = builder.info.features['image'].shape, builder.info.splits[split]
  size = info.num_bytes
  if None not in shape:
    dtype = np.dtype(builder.info.features['image'].np_dtype)
    size = info.num_examples * math.prod(shape) * dtype.itemsize
  memory.check_fits(f'the {split} split of {builder.info.full_name}', 2 * size)


def _require(what: str, needed: Set[str], present: Iterable[str]) -> None:
  if not needed <= set(present):
    raise InputError(
      f'data.source has the {what} {", ".join(sorted(present))}, but '
      f'{" and ".join(sorted(needed))} are needed; choose another TFDS set, or '
      'write this one to an .npz file.'
    )


@contextlib.contextmanager
def _quiet_about_opencv() -> Iterator[None]:
  # TFDS warns that Pillow, which reads the same pixels, is slower.
  def wanted(record):
    return 'OpenCV is not installed' not in str(record.msg)

  logger = logging.get_absl_logger()
  logger.addFilter(wanted)
  try:
    yield
  finally:
    logger.removeFilter(wanted)


def _stacked(
  where: str, examples: Sequence[Mapping[str, Any]], field: str
) -> np.ndarray:
  shapes = sorted({np.shape(example[field]) for example in examples})
  if len(shapes) > 1:
    raise InputError(
      f'{where} has examples of different shapes, such as {shapes[0]} and '
      f'{shapes[-1]}; resize them to one and use npz:PATH.'
    )
  return np.array([example[field] for example in examples])


def _line(error: BaseException) -> str:
  text = ' '.join(str(error).split()) or type(error).__name__
  return text if len(text) <= 120 else text[:119] + '…'
