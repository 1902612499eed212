"""Settings in nested dicts."""

from collections.abc import Mapping
from typing import Any

__all__ = ['changed', 'flat', 'merge']

_OFF = (None, False)


def flat(tree: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """Settings by their full names.

  Example:
    >>> flat({'a': {'b': 1}, 'c': 2})
    {'a.b': 1, 'c': 2}
  """
  found = {}
  for name, item in tree.items():
    if isinstance(item, Mapping):
      found |= flat(item, f'{prefix}{name}.')
    else:
      found[f'{prefix}{name}'] = item
  return found


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
  """Names of the settings that differ, sorted.

  A setting that `before` lacks came later: where it is False or None, it
  changes nothing.

  Example:
    >>> changed({'a': 1, 'b': 2}, {'a': 1, 'b': 3, 'c': False, 'd': 0})
    ['b', 'd']

  Args:
    before: {name: value}, as it was written.
    now: {name: value}.
  """
  names = [name for name in before if before[name] != now.get(name)]
  later = now.keys() - before.keys()
  off = {name for name in later if any(now[name] is x for x in _OFF)}
  return sorted([*names, *(later - off)])


def merge(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict:
  """The tree with the nested changes; neither is changed.

  Example:
    >>> merge({'a': {'b': 1, 'c': 2}}, {'a': {'b': 3}})
    {'a': {'b': 3, 'c': 2}}
  """
  merged = dict(tree)
  for name, item in changes.items():
    both = isinstance(item, Mapping) and isinstance(merged.get(name), Mapping)
    merged[name] = merge(merged[name], item) if both else item
  return merged
