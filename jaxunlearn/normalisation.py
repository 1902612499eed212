"""The mean and deviation that images are normalised by: whose they are."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxunlearn import checks, files
from jaxunlearn.data import moments
from jaxunlearn.data.stored import Stored
from jaxunlearn.errors import InputError, Unavailable

__all__ = ['choose', 'made_from']


def made_from(checkpoint: str) -> Mapping[str, Any]:
  """What the original of a finished workdir was made from; else nothing."""
  path = files.expand(checkpoint)
  for folder in (path / 'original', path):
    # Unlike Path.is_file, it is False too where one may not look.
    if checkpoint and os.path.isfile(folder / 'result.json'):
      return _recorded(folder / 'result.json')
  return {}


def _recorded(path: Path) -> Mapping[str, Any]:
  """What an original was made from, if a run like this has written it."""
  try:
    before = files.read_json(path).get('made_from')
  except Unavailable:
    raise
  except InputError:
    before = None
  known = [
    isinstance(before, dict) and before.get(name)
    for name in ('data.mean', 'data.std')
  ]
  if not all(
    isinstance(x, list) and x and all(map(checks.is_number, x)) for x in known
  ):
    raise InputError(
      f'{path} says nothing of how that original was trained: give a folder '
      'with the checkpoint alone, or another copy of the workdir.'
    )
  return before


def choose(
  data: Any,
  images: np.ndarray | Stored,
  channels: int,
  before: Mapping[str, Any],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Mean and standard deviation of each channel, of images in [0, 1].

  Those given; else those that a workdir's original was trained with; else the
  training set's own.
  """
  known = [before.get(name) for name in ('data.mean', 'data.std')]
  if data.mean:
    given = [list(data.mean), list(data.std)]
    for name, numbers in zip(('mean', 'std'), given, strict=True):
      if len(numbers) not in (1, channels):
        raise InputError(
          f'data.{name} has {len(numbers)} numbers, but the images have '
          f'{channels} channel(s): give one for each, or one for all.'
        )
    if before and given != known:
      raise InputError(
        'data.mean and data.std are not those that original.checkpoint was '
        f'trained with, {known[0]} and {known[1]}: leave both empty.'
      )
    return tuple(data.mean), tuple(data.std)
  if before:
    return tuple(known[0]), tuple(known[1])
  mean, std = moments.per_channel(images)
  if not (std > 0).all():
    raise InputError(
      f'channel {int(np.argmin(std))} of the training images is constant, so '
      'it cannot be normalised by its own deviation: give data.mean and '
      'data.std.'
    )
  return tuple(mean.tolist()), tuple(std.tolist())
