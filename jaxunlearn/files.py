"""Files of a workdir: read with a sentence for what is wrong, written whole."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxunlearn.errors import InputError

__all__ = [
  'damaged',
  'expand',
  'read_json',
  'read_lines',
  'replace',
  'write_json',
]


def expand(path: str | Path) -> Path:
  """The path, with the home folder that a leading ~ stands for.

  Raises:
    InputError: there is no such user.
  """
  try:
    return Path(path).expanduser()
  except RuntimeError as error:
    raise InputError(
      f'{str(path)[:200]} names a user without a home folder here: write the '
      'path out, from / on.'
    ) from error


def read_json(path: Path, remove: Path | None = None) -> dict[str, Any]:
  """The object that a JSON file holds.

  Args:
    path: of the file.
    remove: what a new start makes again; the file by default.

  Raises:
    InputError: the file cannot be read, or holds no object of JSON.
  """
  try:
    content = json.loads(path.read_text('utf-8'))
  except (OSError, ValueError) as error:
    raise damaged(path, remove) from error
  if not isinstance(content, dict):
    raise damaged(path, remove)
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
    raise damaged(path) from error
  if not all(
    isinstance(x, dict) and {'model', 'epoch'} <= set(x) for x in lines
  ):
    raise damaged(path)
  return lines


def write_json(path: Path, content: Mapping[str, Any]) -> None:
  """Writes an object as JSON; a number that is not finite is refused."""
  replace(path, json.dumps(content, indent=1, allow_nan=False) + '\n')


def replace(path: Path, content: str | bytes) -> None:
  """Writes a file whole or not at all."""
  if isinstance(content, str):
    content = content.encode()
  partial = path.with_name(f'.{path.name}.partial')
  partial.write_bytes(content)
  os.replace(partial, path)


def damaged(path: Path, remove: Path | None = None) -> InputError:
  """What to say of a file that cannot be used, and what to do."""
  return InputError(
    f'{path} is damaged: remove {remove or path} and run the experiment again.'
  )
