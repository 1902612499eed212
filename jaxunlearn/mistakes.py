"""Mistakes on the command line, in a sentence each."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from absl import flags

__all__ = ['check_config', 'overruled', 'sentence']

# What configs/common.py gives every config.
_PARTS = (
  *('data', 'model', 'train', 'forget', 'original', 'reference', 'unlearn'),
  *('recipes', 'probes', 'mesh', 'hosts', 'save', 'cache_dir'),
  *('matrix', 'paper'),
)

# What absl and ml_collections say, and what a person needs to hear.
_REWORDED = (
  (
    r"^'?(?P<key>[\w-]+)'? Did you mean \"(?P<near>[^\"]+)\".*",
    "config has no setting '{key}'; did you mean '{near}'?",
  ),
  (
    r"^'?(?P<key>[\w-]+)'?$",
    "config has no setting '{key}' there: see configs/common.py for all there "
    'are; a row of recipes takes from the command line only the keys that its '
    'config lists.',
  ),
  (
    r'^flag (?P<flag>\S+): invalid literal for int.*',
    '{flag} is not a whole number.',
  ),
  (
    r'^flag (?P<flag>\S+): could not convert string to float.*',
    '{flag} is not a number.',
  ),
  (
    r'^flag (?P<flag>\S+): .*Non-boolean argument to boolean flag.*',
    '{flag} is neither True nor False.',
  ),
  (
    r'^flag (?P<flag>[^=]+)=.*: Failed to parse .* as a ConfigDict.*',
    '{flag} is a section: set one of its keys, {flag}.KEY=VALUE.',
  ),
  (
    r'.*Failed loading config file.*\[Relative path\]: (?P<file>\S+) .*',
    '--config={file} does not exist, seen from this directory.',
  ),
  (
    r".*has no attribute 'get_config'.*",
    'the file that --config names has no get_config(), which makes a config.',
  ),
  (
    r".*object has no attribute 'keys'.*",
    'get_config() in the file that --config names must return a ConfigDict.',
  ),
)


def sentence(error: BaseException) -> str:
  """One line for an error that parsing flags or loading a config raised.

  Example:
    >>> sentence(flags.Error('flag --config.a=x: invalid literal for int()'))
    '--config.a=x is not a whole number.'
  """
  while error.args and isinstance(error.args[0], BaseException):
    error = error.args[0]
  text = str(error.args[0] if isinstance(error, KeyError) else error)
  if 'Traceback' in text:
    # An error of the config file itself: its last line says what.
    text = text.strip().splitlines()[-1].partition(': ')[2]
  text = ' '.join(text.split())
  for pattern, reworded in _REWORDED:
    match = re.match(pattern, text)
    if match:
      return reworded.format(**match.groupdict())
  if isinstance(error, flags.Error):
    return text
  return f'the config cannot be loaded: {text}.'


def check_config(config: Any) -> None:
  """Checks that what a config file made is a whole config.

  Raises:
    ValueError: it is none, or a part of it is missing.
  """
  if not hasattr(config, 'to_dict'):
    raise ValueError(
      'get_config() in the file that --config names must return a ConfigDict'
    )
  missing = [name for name in _PARTS if name not in config]
  if missing:
    raise ValueError(
      f'it lacks {", ".join(missing)}; start from common.get_config(), as the '
      'files of configs/ do'
    )


def overruled(
  given: Iterable[str], matrix: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[str]]:
  """Settings of the command line that cells of a matrix set themselves.

  Args:
    given: settings, such as 'model.width'.
    matrix: {cell: {section: {key: value}}}.

  Returns:
    {setting: the cells that it does not reach}.

  Example:
    >>> cells = {'a': {'model': {'width': 16}}, 'b': {}}
    >>> overruled(['model.width', 'train.epochs'], cells)
    {'model.width': ['a']}
  """
  found: dict[str, list[str]] = {}
  for setting in given:
    cells = [name for name, own in matrix.items() if _holds(own, setting)]
    if cells:
      found[setting] = cells
  return found


def _holds(tree: Any, setting: str) -> bool:
  for part in setting.split('.'):
    if not isinstance(tree, Mapping) or part not in tree:
      return False
    tree = tree[part]
  return True
