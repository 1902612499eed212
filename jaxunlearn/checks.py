"""Checks of a setting's value, each one sentence where it cannot be."""

import difflib
from collections.abc import Collection
from typing import Any

from jaxunlearn.errors import InputError

__all__ = ['choice', 'in_range', 'is_number', 'is_text', 'kind', 'nearest']

# What a default of each type stands for.
_KINDS = {
  bool: (bool, 'True or False'),
  int: (int, 'a whole number'),
  float: (int | float, 'a number'),
  str: (str, 'text'),
}


def kind(name: str, value: Any, default: type) -> None:
  """Checks that a value may stand where one of type `default` does.

  Raises:
    InputError: it may not; types other than bool, int, float and str pass.
  """
  if default not in _KINDS:
    return
  allowed, wanted = _KINDS[default]
  # True is an int to Python, and no number to a person.
  if not isinstance(value, allowed) or (
    (type(value) is bool) != (default is bool)
  ):
    raise InputError(f'{name} is {value!r:.40}, but must be {wanted}.')


def in_range(name: str, value: Any, low: float, high: float) -> None:
  """Checks a number; a whole one where both bounds are.

  Raises:
    InputError: it is no number, or not from `low` to `high`.
  """
  whole = isinstance(low, int) and isinstance(high, int)
  if not is_number(value) or (whole and not isinstance(value, int)):
    wanted = 'whole number' if whole else 'number'
    raise InputError(f'{name} is {value!r:.40}, but must be a {wanted}.')
  if not low <= value <= high:
    raise InputError(
      f'{name} is {value!r:.40}, but must be from {low:g} to {high:g}.'
    )


def choice(name: str, value: Any, choices: Collection[str]) -> None:
  """Checks that a value is one of those there are.

  Raises:
    InputError: it is not; the nearest is named.
  """
  if value not in choices:
    raise InputError(
      f'{name} is {value!r:.40}{nearest(str(value), list(choices))}'
    )


def is_number(value: Any) -> bool:
  """Whether a value is an int or a float, and no bool."""
  return isinstance(value, int | float) and not isinstance(value, bool)


def is_text(value: str) -> bool:
  """Whether UTF-8 has it: a name of bytes that are none it has not."""
  try:
    value.encode()
  except UnicodeEncodeError:
    return False
  return True


def nearest(word: str, known: list[str]) -> str:
  """The end of a sentence about an unknown word."""
  near = difflib.get_close_matches(word, known, n=1)
  if near:
    return f'; did you mean {near[0]}?'
  return f'; there are {", ".join(known)}.'
