import hashlib
from typing import NamedTuple

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from jaxunlearn.fingerprint import sha256


class Pair(NamedTuple):
  first: np.ndarray
  second: np.ndarray


def test_the_stream_is_the_one_documented():
  tree = {'b': np.array([[1, 2]], np.int16), 'a': {'x': np.float32(0.5)}}
  stream = (
    b'["a/x","float32",[]]\n\x00\x00\x00\x3f'
    b'["b","int16",[1,2]]\n\x01\x00\x02\x00'
  )
  assert sha256(tree) == hashlib.sha256(stream).hexdigest()


def test_keys_are_sorted_as_text_and_may_be_of_any_script():
  one = np.uint8(1)
  stream = b''.join(
    b'["%s","uint8",[]]\n\x01' % name
    for name in (b'B', b'a1', b'a10', b'a2', rb'\u00e9')
  )
  tree = dict.fromkeys(['é', 'a2', 'a10', 'B', 'a1'], one)
  assert sha256(tree) == hashlib.sha256(stream).hexdigest()


def test_whole_paths_are_sorted_not_the_keys_of_each_level():
  one = np.uint8(1)
  stream = b'["a-b","uint8",[]]\n\x01["a/x","uint8",[]]\n\x01'
  tree = {'a': {'x': one}, 'a-b': one}
  assert sha256(tree) == hashlib.sha256(stream).hexdigest()


def test_names_of_fields_and_places_in_tuples_are_keys():
  first, second = np.arange(3), np.arange(4.0)
  assert sha256(Pair(first, second)) == sha256(
    {'first': first, 'second': second}
  )
  assert sha256((first, second)) == sha256({'0': first, '1': second})


def test_a_jax_array_has_the_digest_of_its_numpy_copy():
  for dtype in (np.float32, np.int32, np.bool_, ml_dtypes.bfloat16):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    assert sha256({'a': jnp.asarray(array)}) == sha256({'a': array})


def test_bfloat16_is_hashed_by_its_bits():
  stream = b'["a","bfloat16",[2]]\n\x80\x3f\x00\xc0'
  array = np.array([1.0, -2.0], ml_dtypes.bfloat16)
  assert sha256({'a': array}) == hashlib.sha256(stream).hexdigest()


def test_order_in_memory_and_byte_order_do_not_count():
  array = np.arange(12, dtype=np.int32).reshape(3, 4)
  expected = sha256({'a': array})
  assert sha256({'a': np.asfortranarray(array)}) == expected
  assert sha256({'a': array.astype('>i4')}) == expected
  assert sha256({'a': np.repeat(array, 2, axis=1)[:, ::2]}) == expected


@pytest.mark.parametrize(
  'other',
  [
    {'b': np.zeros(4, np.int32)},
    {'a': np.zeros(4, np.uint32)},
    {'a': np.zeros((2, 2), np.int32)},
    {'a': np.zeros(5, np.int32)},
    {'a': np.array([0, 0, 0, 1], np.int32)},
    {'a': {'a': np.zeros(4, np.int32)}},
    {'a': np.zeros(4, np.int32), 'b': np.zeros(0, np.int32)},
  ],
)
def test_another_path_dtype_shape_or_value_is_another_digest(other):
  assert sha256(other) != sha256({'a': np.zeros(4, np.int32)})


def test_negative_zero_is_not_zero():
  assert sha256({'a': np.float32(0.0)}) != sha256({'a': np.float32(-0.0)})


def test_two_leaves_of_one_path_are_refused():
  with pytest.raises(ValueError, match='the path a/b'):
    sha256({'a/b': np.zeros(1), 'a': {'b': np.ones(1)}})


@pytest.mark.parametrize(
  'leaf', [np.array(['a']), np.array([None]), np.array([b'a'])]
)
def test_text_and_objects_are_refused(leaf):
  with pytest.raises(TypeError, match='a holds'):
    sha256({'a': leaf})
