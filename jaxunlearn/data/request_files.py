"""Files that list training examples: .npy, .txt, .csv and .json."""

import csv
import json
import pathlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxunlearn import files, npz
from jaxunlearn.errors import InputError

__all__ = ['read']

_MAX_BYTES = 2**30
_MAX_TEXT = 256  # Bytes for each training example, beyond the first MiB.


def read(path: str, num_train: int) -> np.ndarray:
  """The positions that a file lists, which may be none.

  Args:
    path: .npy, integers [n] or a boolean mask [num_train]; .txt, one integer
      a line, blank lines and lines that start with # skipped; .csv, the
      column `index`; .json, a list of integers.
    num_train: how many examples the full training set has.

  Returns:
    [n] int64, sorted, each once.

  Raises:
    InputError: a file that is missing, damaged or larger than 1 GiB, or as
      text than 1 MiB and 256 bytes for each training example; an entry
      that is no integer, out of range or repeated; a mask of another length.
  """
  file = files.expand(path)
  reader = _READERS.get(file.suffix.lower())
  if reader is None:
    raise InputError(
      f'{file} ends in {file.suffix!r}, but a forget request is a '
      f'{", ".join(_READERS)} file.'
    )
  try:
    if not file.is_file():
      what = 'is not a file' if file.exists() else 'does not exist'
      raise InputError(f'{file} {what}; forget.path must name one.')
    most = _MAX_BYTES
    if reader is not _read_npy:
      # Text takes many times its size in memory.
      most = min(most, 2**20 + _MAX_TEXT * num_train)
    if file.stat().st_size > most:
      raise InputError(
        f'{file} is larger than {most / 2**20:.0f} MiB, too much for positions '
        f'among {num_train} examples; list them, one for each example.'
      )
    entries, place = reader(file)
  except OSError as error:
    raise InputError(f'{file} cannot be read: {error.strerror}.') from error
  except UnicodeDecodeError as error:
    raise InputError(
      f'{file} is not UTF-8 text at byte {error.start}; write it again as '
      'plain text.'
    ) from error
  if isinstance(entries, np.ndarray) and entries.dtype == np.bool_:
    if len(entries) != num_train:
      raise InputError(
        f'{file} is a mask of {len(entries)} entries, but the training set has '
        f'{num_train} examples.'
      )
    return np.flatnonzero(entries).astype(np.int64)
  seen = set()
  for i, entry in enumerate(entries):
    integer = isinstance(entry, (int, np.integer)) and type(entry) is not bool
    if not integer or not 0 <= entry < num_train:
      raise InputError(
        f'{file}, {place(i)}: {_shown(entry)} is no position in the training '
        f'set, an integer from 0 to {num_train - 1}.'
      )
    if entry in seen:
      raise InputError(
        f'{file}, {place(i)}: {entry} is there twice; list each position once.'
      )
    seen.add(entry)
  return np.array(sorted(seen), np.int64)


# A reader returns the entries and says where the i-th one stands.
_Entries = tuple[Sequence[Any] | np.ndarray, Callable[[int], str]]


def _read_npy(file: pathlib.Path) -> _Entries:
  with file.open('rb') as stream:
    try:
      values = npz.read_npy(stream)
    except ValueError as error:
      raise InputError(
        f'{file} is no .npy file, is damaged, or holds pickled objects; write '
        'it again with numpy.save.'
      ) from error
  if values.ndim != 1 or values.dtype.kind not in 'iub':
    raise InputError(
      f'{file} holds {values.dtype} of shape {values.shape}, but a request is '
      'integers of shape [n] or a boolean mask.'
    )
  return values, lambda i: f'element {i}'


def _read_txt(file: pathlib.Path) -> _Entries:
  lines = enumerate(file.read_text('utf-8-sig').split('\n'), 1)
  entries = [
    (number, line.strip())
    for number, line in lines
    if line.strip() and not line.lstrip().startswith('#')
  ]
  return [_integer(text) for _, text in entries], (
    lambda i: f'line {entries[i][0]}'
  )


def _read_csv(file: pathlib.Path) -> _Entries:
  values, lines = [], []
  with file.open(encoding='utf-8-sig', newline='') as stream:
    rows = csv.reader(stream, strict=True)
    try:
      header = [name.strip() for name in next(rows, [])]
      if header.count('index') != 1:
        raise InputError(
          f'{file} must have one column named index in its first line, and '
          f'has {header.count("index")}.'
        )
      column = header.index('index')
      for row in rows:
        if row:
          text = row[column].strip() if column < len(row) else ''
          values.append(_integer(text))
          lines.append(rows.line_num)
    except csv.Error as error:
      raise InputError(
        f'{file} is no .csv file at line {rows.line_num}: {error}.'
      ) from error
  return values, lambda i: f'line {lines[i]}'


def _read_json(file: pathlib.Path) -> _Entries:
  text = file.read_text('utf-8-sig')
  try:
    # Integers stay text: int() refuses more than 4,300 digits.
    values = json.loads(text, parse_int=_integer)
  except (json.JSONDecodeError, RecursionError) as error:
    line = getattr(error, 'lineno', 1)
    raise InputError(
      f'{file} is no JSON at line {line}; write a list of integers.'
    ) from error
  if not isinstance(values, list):
    raise InputError(f'{file} must hold a list of integers, as in [3, 5].')
  return values, lambda i: f'element {i}'


_READERS = {
  '.npy': _read_npy,
  '.txt': _read_txt,
  '.csv': _read_csv,
  '.json': _read_json,
}


def _integer(text: str) -> int | str:
  # Not int(): it accepts 1_000 and digits of other scripts. No position has
  # more digits than this, and as text it is refused with its place.
  return int(text) if re.fullmatch(r'[+-]?[0-9]{1,30}', text) else text


def _shown(value: Any) -> str:
  text = repr(value.item() if isinstance(value, np.generic) else value)
  return text if len(text) <= 40 else text[:39] + '…'
