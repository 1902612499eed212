"""Settings in nested dicts."""

from collections.abc import Mapping
from typing import Any

__all__ = ['flat', 'merge']


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
