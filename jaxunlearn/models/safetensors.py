"""Arrays from a `.safetensors` file, which is read and never executed."""

import json
import textwrap
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from jaxunlearn import files, memory
from jaxunlearn.errors import InputError

__all__ = ['read']

# Bytes; of the format's own reader.
_MOST_HEADER = 100_000_000
_DTYPES = {
  'BOOL': np.bool_,
  'U8': np.uint8,
  'I8': np.int8,
  'U16': np.uint16,
  'I16': np.int16,
  'U32': np.uint32,
  'I32': np.int32,
  'U64': np.uint64,
  'I64': np.int64,
  'F16': np.float16,
  'BF16': jnp.bfloat16,
  'F32': np.float32,
  'F64': np.float64,
}


def read(path: str | Path) -> dict[str, np.ndarray]:
  """The arrays of a `.safetensors` file by name, in the order of the file.

  The format is the length of a header (8 bytes, little-endian), the header
  (JSON: dtype, shape and place of each array) and the arrays, without gaps.

  Args:
    path: the file.

  Raises:
    InputError: the file is not there, is damaged, or holds a dtype that NumPy
      has not.

  Reference: https://github.com/huggingface/safetensors
  """
  path = files.expand(path)
  try:
    memory.check_fits(str(path), path.stat().st_size)
    content = path.read_bytes()
  except OSError as error:
    raise InputError(
      f'the weights {path} cannot be read ({error.strerror}): give a '
      '.safetensors file.'
    ) from error
  length = int.from_bytes(content[:8], 'little')
  data = memoryview(content)[8 + length :]
  try:
    if length > _MOST_HEADER:
      raise ValueError('its header is longer than the format allows')
    header = json.loads(content[8 : 8 + length])
    header.pop('__metadata__', None)
    places = sorted(entry['data_offsets'] for entry in header.values())
    ends = [0, *(end for _, end in places)]
    if ends != [*(begin for begin, _ in places), len(data)]:
      raise ValueError('its arrays do not lie end to end')
    return {name: _array(entry, data) for name, entry in header.items()}
  # What a header that is cut, or is none at all, gives rise to.
  except (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RecursionError,
  ) as error:
    reason = textwrap.shorten(str(error), 80, placeholder='…')
    raise InputError(
      f'{path} is damaged or no .safetensors file ({type(error).__name__}: '
      f'{reason}): take another copy of it.'
    ) from error


def _array(entry: dict, data: memoryview) -> np.ndarray:
  if entry['dtype'] not in _DTYPES:
    raise ValueError(f'its dtype {entry["dtype"]!r} is unknown here')
  begin, end = entry['data_offsets']
  array = np.frombuffer(data[begin:end], _DTYPES[entry['dtype']])
  if min(entry['shape'], default=0) < 0:
    raise ValueError('a shape is negative')
  return array.reshape(entry['shape'])
