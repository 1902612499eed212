import json
import os

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jaxunlearn.errors import InputError
from jaxunlearn.models import safetensors

DTYPES = {
  'F64': np.float64,
  'F32': np.float32,
  'F16': np.float16,
  'BF16': jnp.bfloat16,
  'I64': np.int64,
  'U8': np.uint8,
  'BOOL': np.bool_,
}


def arrays():
  rng = np.random.default_rng(0)
  return {
    name: rng.integers(0, 2, (2, 3)).astype(dtype)
    for name, dtype in DTYPES.items()
  }


def packed(tensors, **changes):
  """The bytes of a file, by the format's description."""
  header, data = {'__metadata__': {'format': 'pt'}}, b''
  for name, array in tensors.items():
    begin, data = len(data), data + array.tobytes()
    header[name] = {
      'dtype': next(k for k, v in DTYPES.items() if v == array.dtype),
      'shape': list(array.shape),
      'data_offsets': [begin, len(data)],
    }
    header[name].update(changes)
  text = json.dumps(header).encode()
  text += b' ' * (-len(text) % 8)
  return len(text).to_bytes(8, 'little') + text + data


def refused(path, *words):
  with pytest.raises(InputError) as caught:
    safetensors.read(path)
  message = str(caught.value)
  assert '\n' not in message and message.endswith('.') and len(message) < 400
  for word in words:
    assert word in message


def test_every_dtype_comes_back_bit_for_bit(tmp_path):
  tensors = arrays() | {
    'scalar': np.float32(2.5).reshape(()),
    'empty': np.zeros((0, 3), np.float32),
  }
  path = tmp_path / 'a.safetensors'
  path.write_bytes(packed(tensors))
  found = safetensors.read(str(path))
  assert list(found) == list(tensors)
  for name, array in tensors.items():
    assert found[name].dtype == array.dtype and found[name].shape == array.shape
    np.testing.assert_array_equal(found[name], array)


def test_a_file_of_the_original_library_is_read(tmp_path):
  library = pytest.importorskip(
    'safetensors.numpy', reason='pip install -e ".[bench]"'
  )
  tensors = {k: v for k, v in arrays().items() if k != 'BF16'}
  library.save_file(tensors, tmp_path / 'a.safetensors', {'format': 'pt'})
  found = safetensors.read(tmp_path / 'a.safetensors')
  assert found.keys() == tensors.keys()
  for name, array in tensors.items():
    np.testing.assert_array_equal(found[name], array)


def test_a_file_that_is_not_there_is_refused(tmp_path):
  refused(tmp_path / 'none.safetensors', 'No such file', 'none.safetensors')
  refused(tmp_path, 'cannot be read')


@pytest.mark.parametrize('kept', [0, 4, 8, 60, -100, -1])
def test_a_file_that_is_cut_is_refused(tmp_path, kept):
  path = tmp_path / 'a.safetensors'
  path.write_bytes(packed(arrays())[:kept])
  refused(path, 'damaged', str(path))


def test_a_file_that_goes_on_is_refused(tmp_path):
  path = tmp_path / 'a.safetensors'
  path.write_bytes(packed(arrays()) + b'0')
  refused(path, 'end to end')


@pytest.mark.parametrize(
  'changes',
  [
    {'dtype': 'F8_E4M3'},
    {'dtype': ['F32']},
    {'shape': [2, 2]},
    {'shape': [-2, -3]},
    {'shape': [-1, 3]},
    {'shape': 6},
    {'shape': ['2', '3']},
    {'data_offsets': [0, 1 << 70]},
    {'data_offsets': [24, 0]},
    {'data_offsets': None},
    {'data_offsets': [0, 8, 24]},
  ],
)
def test_a_header_that_lies_is_refused(tmp_path, changes):
  path = tmp_path / 'a.safetensors'
  path.write_bytes(packed({'w': np.ones((2, 3), np.float32)}, **changes))
  refused(path, 'damaged')


@pytest.mark.parametrize(
  'content', [b'[1]', b'{"w": 3}', b'{"w": {}}', b'\xff\xfe', b'[' * 100_000]
)
def test_a_header_of_another_kind_is_refused(tmp_path, content):
  path = tmp_path / 'a.safetensors'
  path.write_bytes(len(content).to_bytes(8, 'little') + content)
  refused(path, 'damaged')


def test_noise_is_refused(tmp_path):
  path = tmp_path / 'a.safetensors'
  path.write_bytes(np.random.default_rng(0).bytes(300))
  refused(path, 'damaged')


def test_a_file_that_has_no_room_in_memory_is_not_read(tmp_path, monkeypatch):
  with open(tmp_path / 'x.safetensors', 'wb') as file:
    file.truncate(2**31)
  monkeypatch.setattr(os, 'sysconf', lambda name: 2**15)
  with pytest.raises(InputError, match=r'is 2.0 GiB, more than the 1.0 GiB of'):
    safetensors.read(tmp_path / 'x.safetensors')


def reads_or_refuses(folder, content):
  path = folder / 'fuzzed.safetensors'
  path.write_bytes(content)
  try:
    return safetensors.read(path)
  except InputError as error:
    assert '\n' not in str(error)
    return None


@pytest.mark.fuzz
@given(st.binary(max_size=200))
@example(b'\xff' * 8)
@example((10**5).to_bytes(8, 'little') + b'[' * 10**5)
def test_arbitrary_bytes_are_read_or_refused(tmp_path_factory, content):
  reads_or_refuses(tmp_path_factory.getbasetemp(), content)


@pytest.mark.fuzz
@given(st.data())
def test_a_changed_header_is_read_or_refused(tmp_path_factory, data):
  whole = packed(arrays())
  header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], 'little')])
  name = data.draw(st.sampled_from([*DTYPES]))
  key = data.draw(st.sampled_from(['dtype', 'shape', 'data_offsets']))
  simple = st.none() | st.integers() | st.floats() | st.text(max_size=4)
  header[name][key] = data.draw(simple | st.lists(simple, max_size=3))
  text = json.dumps(header).encode()
  body = whole[8 + int.from_bytes(whole[:8], 'little') :]
  content = len(text).to_bytes(8, 'little') + text + body
  reads_or_refuses(tmp_path_factory.getbasetemp(), content)


@pytest.mark.fuzz
@given(st.data())
def test_a_flipped_bit_is_read_or_refused(tmp_path_factory, data):
  content = bytearray(packed(arrays()))
  bit = data.draw(st.integers(0, 8 * len(content) - 1))
  content[bit // 8] ^= 1 << bit % 8
  reads_or_refuses(tmp_path_factory.getbasetemp(), bytes(content))
