"""Mistakes on the command line, in a sentence each."""

import re

from absl import flags

__all__ = ['sentence']

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
