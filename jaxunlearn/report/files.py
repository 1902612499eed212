"""A workdir's files: read with a sentence for what is wrong, written whole."""

import json
import os
from pathlib import Path
from typing import Any

from jaxunlearn.errors import InputError

__all__ = ['read_json', 'read_lines', 'write_text']


def read_json(path: Path) -> dict[str, Any]:
  """The object that a JSON file holds.

  Raises:
    InputError: the file cannot be read, or holds no object of JSON.
  """
  try:
    content = json.loads(path.read_text('utf-8'))
  except (OSError, ValueError) as error:
    raise _damaged(path) from error
  if not isinstance(content, dict):
    raise _damaged(path)
  return content


def read_lines(path: Path) -> list[dict[str, Any]]:
  """The lines of metrics.jsonl; none where there is no such file.

  Raises:
    InputError: a line is none that a run has written.
  """
  if not path.exists():
    return []
  try:
    lines = [json.loads(x) for x in path.read_text('utf-8').splitlines()]
  except (OSError, ValueError) as error:
    raise _damaged(path) from error
  if not all(
    isinstance(x, dict) and {'model', 'epoch'} <= set(x) for x in lines
  ):
    raise _damaged(path)
  return lines


def write_text(path: Path, text: str) -> None:
  """Writes a file whole or not at all."""
  partial = path.with_name(f'.{path.name}.partial')
  partial.write_text(text, encoding='utf-8')
  os.replace(partial, path)


def _damaged(path: Path) -> InputError:
  return InputError(
    f'{path} is damaged: remove {path.parent} and run the experiment again.'
  )
