import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxunlearn import fingerprint
from jaxunlearn.data import sources
from jaxunlearn.errors import InputError

GOOD = {
  'x_train': np.arange(96, dtype=np.uint8).reshape(6, 4, 4, 1),
  'y_train': np.array([0, 1, 2, 0, 1, 2]),
  'x_test': np.arange(32, dtype=np.uint8).reshape(2, 4, 4, 1),
  'y_test': np.array([2, 0]),
}
FLOATS = {
  'x_train': GOOD['x_train'] / np.float32(255),
  'x_test': GOOD['x_test'] / np.float32(255),
}


def load(path, save=np.savez, **changes):
  arrays = {**GOOD, **changes}
  save(path, **{k: v for k, v in arrays.items() if v is not None})
  return sources.load(f'npz:{path}')


def with_pixel(value):
  images = FLOATS['x_train'].copy()
  images[4, 1, 2, 0] = value
  return {**FLOATS, 'x_train': images}


def test_digits_are_scikit_learns_in_uint8():
  from sklearn.datasets import load_digits

  data = sources.load('digits')
  assert data.x_train.shape == (1437, 8, 8, 1) and data.x_train.dtype == 'u1'
  assert data.x_test.shape == (360, 8, 8, 1) and data.x_test.dtype == 'u1'
  assert data.y_train.dtype == data.y_test.dtype == np.int32
  assert data.num_classes == 10 and data.name == 'digits'
  images = np.concatenate([data.x_train, data.x_test]).reshape(-1, 64)
  labels = np.concatenate([data.y_train, data.y_test])
  ours = np.column_stack([np.rint(images / 255 * 16), labels])
  bunch = load_digits()
  theirs = np.column_stack([bunch.data, bunch.target])
  np.testing.assert_array_equal(
    ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)]
  )
  assert images.max() == 255


def test_digits_are_the_same_for_ever():
  assert sources.sha256(sources.load('digits')) == (
    'e50c5a546b12145950f9c81009e07575770443a836ff21e68efd9e0cef5e088f'
  )


def test_sha256_is_that_of_the_four_arrays():
  data = sources.load('digits')
  tree = data._asdict()
  del tree['name']
  assert sources.sha256(data) == fingerprint.sha256(tree)


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_an_npz_file_gives_back_its_arrays(tmp_path, save):
  data = load(tmp_path / 'data.npz', save)
  for name, array in GOOD.items():
    np.testing.assert_array_equal(getattr(data, name), array)
  assert data.x_train.dtype == np.uint8 and data.y_train.dtype == np.int32
  assert data.num_classes == 3


@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64, '>f4'])
def test_floats_become_float32(tmp_path, dtype):
  floats = {name: array.astype(dtype) for name, array in FLOATS.items()}
  data = load(tmp_path / 'data.npz', **floats)
  assert data.x_train.dtype == np.dtype('<f4')
  np.testing.assert_array_equal(data.x_train, floats['x_train'].astype('<f4'))


def test_images_without_channels_gain_one(tmp_path):
  flat = {name: GOOD[name][..., 0] for name in ('x_train', 'x_test')}
  data = load(tmp_path / 'data.npz', **flat)
  np.testing.assert_array_equal(data.x_train, GOOD['x_train'])
  np.testing.assert_array_equal(data.x_test, GOOD['x_test'])


@pytest.mark.parametrize(
  ('changes', 'match'),
  [
    ({'x_test': None, 'y_test': None}, r'lacks x_test, y_test; it must hold'),
    ({'x_train': GOOD['x_train'].reshape(6, 16)}, r'shape \(6, 16\), but'),
    ({'x_train': np.zeros((6, 4, 4, 5), 'u1')}, r'1 to 4 channels'),
    ({'x_train': np.zeros((6, 4, 4, 0), 'u1')}, r'1 to 4 channels'),
    ({'x_train': np.zeros((6, 0, 4, 1), 'u1')}, r'holds no pixel'),
    ({'x_test': np.zeros((0, 4, 4, 1), 'u1')}, r'x_test .* holds no pixel'),
    ({'x_train': GOOD['x_train'].astype('i8')}, r'x_train is int64, but'),
    ({'x_train': GOOD['x_train'] > 9}, r'x_train is bool, but'),
    (with_pixel(np.nan), r'x_train\[4\] has a pixel that is NaN'),
    (with_pixel(np.inf), r'x_train\[4\] has a pixel'),
    (with_pixel(1.001), r'x_train\[4\] has a pixel'),
    (with_pixel(-0.001), r'x_train\[4\] has a pixel'),
    ({'y_train': GOOD['y_train'][:, None]}, r'y_train is int64 of shape'),
    ({'y_train': GOOD['y_train'] * 1.0}, r'y_train is float64 of shape'),
    ({'y_train': GOOD['y_train'] > 0}, r'y_train is bool'),
    ({'y_train': GOOD['y_train'].astype(str)}, r'y_train is <U'),
    ({'y_train': GOOD['y_train'][:5]}, r'5 labels for 6 images'),
    ({'y_test': np.array([2])}, r'y_test has 1 labels for 2 images'),
    ({'y_train': GOOD['y_train'] - 1}, r'y_train\[0\] is -1, but'),
    ({'y_test': np.array([2, -7])}, r'y_test\[1\] is -7, but'),
    ({'y_train': np.array([0, 1, 2**40, 0, 1, 2])}, r'\[2\] is 1099511627776'),
    ({'y_test': np.array([0, 3])}, r'y_test\[1\] is 3, but .* end at 2'),
    ({'y_train': np.ones(6, int)}, r'the one label 1'),
    ({'x_test': np.zeros((2, 4, 5, 1), 'u1')}, r'make them alike'),
    ({'x_test': FLOATS['x_test']}, r'make them alike'),
  ],
)
def test_arrays_that_are_no_labelled_images_are_refused(
  tmp_path, changes, match
):
  with pytest.raises(InputError, match=match) as caught:
    load(tmp_path / 'data.npz', **changes)
  assert '\n' not in str(caught.value)


def test_pickled_arrays_are_refused(tmp_path):
  with pytest.raises(InputError, match='pickled objects'):
    load(tmp_path / 'data.npz', y_train=np.array([0, 1, 2, 0, 1, None]))


def test_a_path_that_is_no_file_is_refused(tmp_path):
  with pytest.raises(InputError, match='No such file or directory'):
    sources.load(f'npz:{tmp_path}/none.npz')
  with pytest.raises(InputError, match='Is a directory'):
    sources.load(f'npz:{tmp_path}')


@pytest.mark.parametrize('content', [b'', b'hello', b'\x93NUMPY\x01\x00'])
def test_what_is_no_npz_file_is_refused(tmp_path, content):
  (tmp_path / 'data.npz').write_bytes(content)
  with pytest.raises(InputError, match=r'is no \.npz file'):
    sources.load(f'npz:{tmp_path}/data.npz')


def test_a_truncated_npz_file_is_refused(tmp_path):
  path = tmp_path / 'data.npz'
  load(path)
  whole = path.read_bytes()
  for length in range(0, len(whole), 50):
    path.write_bytes(whole[:length])
    with pytest.raises(InputError, match=r'is no \.npz file'):
      sources.load(f'npz:{path}')


def test_a_header_that_claims_too_little_is_refused(tmp_path):
  load(tmp_path / 'good.npz')
  with (
    zipfile.ZipFile(tmp_path / 'good.npz') as good,
    zipfile.ZipFile(tmp_path / 'bad.npz', 'w') as bad,
  ):
    for name in good.namelist():
      content = good.read(name)
      if name == 'y_train.npy':
        content = content.replace(b"'shape': (6,)", b"'shape': (5,)")
      bad.writestr(name, content)
  with pytest.raises(InputError, match='is damaged'):
    sources.load(f'npz:{tmp_path}/bad.npz')


# NumPy warns of headers that only Python 2 wrote.
@pytest.mark.fuzz
@pytest.mark.filterwarnings('ignore')
@given(st.data(), st.booleans())
def test_a_flipped_bit_never_changes_what_is_read(
  tmp_path_factory, data, compressed
):
  folder = tmp_path_factory.getbasetemp()
  save = np.savez_compressed if compressed else np.savez
  expected = sources.sha256(load(folder / 'flipped.npz', save))
  content = bytearray((folder / 'flipped.npz').read_bytes())
  bit = data.draw(st.integers(0, 8 * len(content) - 1))
  content[bit // 8] ^= 1 << bit % 8
  (folder / 'flipped.npz').write_bytes(content)
  try:
    read = sources.load(f'npz:{folder}/flipped.npz')
  except InputError as error:
    assert '\n' not in str(error)
  else:
    assert sources.sha256(read) == expected


@pytest.mark.parametrize(
  ('source', 'match'),
  [
    ('digit', 'the nearest is digits'),
    ('Digits', 'the nearest is digits'),
    ('nzp:x', 'the nearest is npz'),
    ('tdfs:cifar10', 'the nearest is tfds'),
    ('cifar10', r"is 'cifar10', but a source is digits, npz:PATH or tfds:NAME"),
    ('', 'a source is digits, npz:PATH or tfds:NAME'),
    ('npz', 'npz:PATH'),
    ('npz:', 'npz:PATH'),
    ('tfds:', 'tfds:NAME'),
    ('digits:', 'the nearest is digits'),
  ],
)
def test_an_unknown_source_names_the_three_and_the_nearest(source, match):
  with pytest.raises(InputError, match=match):
    sources.load(source)


def test_importing_the_package_imports_what_is_used_alone():
  code = (
    'import sys, jaxunlearn, jaxunlearn.data.sources; '
    "names = {'tensorflow_datasets', 'sklearn', 'flax', 'orbax', 'matplotlib'}"
    '; sys.exit(bool(names & set(sys.modules)))'
  )
  assert subprocess.run([sys.executable, '-c', code]).returncode == 0


def test_what_unpacks_to_more_than_the_memory_is_not_unpacked(tmp_path):
  path = tmp_path / 'bomb.npz'
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    for name in ('x_train', 'y_train', 'x_test', 'y_test'):
      archive.writestr(f'{name}.npy', b'\0' * 1000)
  content = path.read_bytes()
  # The size that a central directory's entry declares.
  declared = (1000).to_bytes(4, 'little')
  huge = (2**32 - 2).to_bytes(4, 'little')
  first = content.index(b'PK\1\2')
  path.write_bytes(content[:first] + content[first:].replace(declared, huge))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(os, 'sysconf', lambda name: 2**15)
    with pytest.raises(InputError, match=r'unpacks to is 16.0 GiB, more than'):
      sources.load(f'npz:{path}')
