import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxunlearn import fingerprint, npz
from jaxunlearn.errors import InputError

ARRAYS = {'forget': np.arange(6.0), 'retain': np.zeros((2, 3))}


@pytest.mark.fuzz
@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
@given(data=st.data())
def test_arrays_with_a_flipped_bit_are_read_as_they_were_or_refused(
  tmp_path_factory, save, data
):
  path = tmp_path_factory.getbasetemp() / f'{save.__name__}.npz'
  save(path, **ARRAYS)
  content = bytearray(path.read_bytes())
  bit = data.draw(st.integers(0, 8 * len(content) - 1))
  content[bit // 8] ^= 1 << bit % 8
  path.write_bytes(content)
  try:
    found = npz.read(path, ('forget', 'retain'))
  except InputError as error:
    assert 'is damaged' in str(error)
  else:
    assert fingerprint.sha256(found) == fingerprint.sha256(ARRAYS)


def test_those_asked_for_are_read_and_none_may_be_missing(tmp_path):
  path = tmp_path / 'a.npz'
  np.savez(path, **ARRAYS)
  (found,) = npz.read(path, ('forget',)).values()
  np.testing.assert_array_equal(found, ARRAYS['forget'])
  with pytest.raises(InputError, match=f'a.npz is damaged: remove {tmp_path} '):
    npz.read(path, ('forget', 'test'), tmp_path)


def test_read_npy_turns_every_damage_into_a_value_error():
  whole = io.BytesIO()
  np.save(whole, np.arange(3))
  for old, new in (
    (b'(3,)', b'(10000000000000000000000000000,)'),
    (b'(3,), }', b'(3,),  '),
    (b"'descr'", b'b"escr"'),
    (b'<i8', b'<,8'),
  ):
    content = whole.getvalue().replace(old, new)
    with pytest.raises(ValueError):
      npz.read_npy(io.BytesIO(content))
