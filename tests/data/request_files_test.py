import json
import os
import tempfile

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jaxunlearn.data import request_files
from jaxunlearn.errors import InputError

SUFFIXES = ['.npy', '.txt', '.csv', '.json']
N = 100


def written(path, positions, suffix):
  path = f'{path}/request{suffix}'
  if suffix == '.npy':
    np.save(path, np.array(positions, np.int64))
    return path
  text = {
    '.txt': '# forgotten\n' + ''.join(f'\n{p} \n' for p in positions),
    '.csv': 'why, index\n' + ''.join(f'"a,\nb", {p}\n' for p in positions),
    '.json': json.dumps(positions),
  }[suffix]
  with open(path, 'w') as file:
    file.write(text)
  return path


def refused(tmp_path, content, suffix, match):
  path = tmp_path / f'request{suffix}'
  if isinstance(content, bytes):
    path.write_bytes(content)
  elif isinstance(content, str):
    path.write_text(content)
  else:
    np.save(path, content)
  with pytest.raises(InputError, match=match) as caught:
    request_files.read(str(path), N)
  assert '\n' not in str(caught.value) and len(str(caught.value)) < 400


@given(st.lists(st.integers(0, N - 1), unique=True), st.sampled_from(SUFFIXES))
def test_every_format_gives_back_what_was_written(positions, suffix):
  with tempfile.TemporaryDirectory() as folder:
    read = request_files.read(written(folder, positions, suffix), N)
  assert read.dtype == np.int64
  np.testing.assert_array_equal(read, sorted(positions))


# NumPy warns of headers that only Python 2 wrote.
@pytest.mark.fuzz
@pytest.mark.filterwarnings('ignore')
@given(st.binary(max_size=300), st.sampled_from(SUFFIXES))
@example(b'[' * 10**5, '.json')
@example(b'index\n"', '.csv')
@example(b'index\n\0', '.csv')
@example(b'index\n' + b'1' * 200_000, '.csv')
@example(b'9' * 5000, '.txt')
@example(b'[' + b'9' * 5000 + b']', '.json')
@example('[١]'.encode(), '.json')
@example(b'\x93NUMPY\x01\x00\x10\x00', '.npy')
def test_arbitrary_bytes_are_read_or_refused(content, suffix):
  with tempfile.TemporaryDirectory() as folder:
    path = f'{folder}/request{suffix}'
    with open(path, 'wb') as file:
      file.write(content)
    try:
      read = request_files.read(path, N)
    except InputError as error:
      assert '\n' not in str(error)
    else:
      assert ((read >= 0) & (read < N)).all() and (np.diff(read) > 0).all()


# NumPy warns of headers that only Python 2 wrote.
@pytest.mark.fuzz
@pytest.mark.filterwarnings('ignore')
@given(st.integers(0, 143), st.integers(0, 255), st.integers(0, 144))
def test_a_damaged_npy_file_is_read_or_refused(place, value, length):
  with tempfile.TemporaryDirectory() as folder:
    path = written(folder, [3, 5], '.npy')
    with open(path, 'rb') as file:
      content = bytearray(file.read())
    content[place] = value
    with open(path, 'wb') as file:
      file.write(content[: length or None])
    try:
      request_files.read(path, N)
    except InputError as error:
      assert '\n' not in str(error)


def test_a_mask_marks_positions(tmp_path):
  mask = np.zeros(N, bool)
  mask[[7, 90]] = True
  np.save(tmp_path / 'mask.npy', mask)
  read = request_files.read(str(tmp_path / 'mask.npy'), N)
  np.testing.assert_array_equal(read, [7, 90])
  assert read.dtype == np.int64


@pytest.mark.parametrize(
  'dtype', [np.uint8, np.int16, np.uint64, '>i4', np.int64]
)
def test_any_integer_dtype_will_do(tmp_path, dtype):
  np.save(tmp_path / 'r.npy', np.array([9, 4], dtype))
  read = request_files.read(str(tmp_path / 'r.npy'), N)
  np.testing.assert_array_equal(read, [4, 9])


def test_windows_text_and_upper_case_endings_are_read(tmp_path):
  path = tmp_path / 'REQUEST.TXT'
  path.write_bytes(b'\xef\xbb\xbf# mine\r\n  +4\r\n\r\n09\r\n')
  np.testing.assert_array_equal(request_files.read(str(path), N), [4, 9])
  path = tmp_path / 'request.csv'
  path.write_bytes(b'\xef\xbb\xbfindex,name\r\n4,a\r\n\r\n9\r\n')
  np.testing.assert_array_equal(request_files.read(str(path), N), [4, 9])


@pytest.mark.parametrize(
  ('content', 'match'),
  [
    (np.array([1.0, 2.0]), r'holds float64 of shape \(2,\)'),
    (np.array([[1, 2]]), r'holds int64 of shape \(1, 2\)'),
    (np.array(3), r'holds int64 of shape \(\)'),
    (np.array(['1']), 'holds <U1'),
    (np.zeros(N - 1, bool), 'a mask of 99 entries.*has 100 examples'),
    (np.array([5, -1]), 'element 1: -1 is no position.*0 to 99'),
    (np.array([5, 100]), 'element 1: 100 is no position'),
    (np.array([2**64 - 1], np.uint64), 'element 0: 18446744073709551615 is'),
    (np.array([5, 6, 5]), 'element 2: 5 is there twice'),
    (b'', 'is no .npy file'),
    (b'PK\x03\x04', 'is no .npy file'),
  ],
)
def test_bad_npy_files_are_refused(tmp_path, content, match):
  refused(tmp_path, content, '.npy', match)


def test_a_header_that_python_cannot_parse_is_refused(tmp_path):
  header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (%s1,)}" % (
    b'-' * 4000
  )
  header += b' ' * (-(len(header) + 11) % 64) + b'\n'
  content = b'\x93NUMPY\x01\x00' + len(header).to_bytes(2, 'little') + header
  (tmp_path / 'deep.npy').write_bytes(content)
  with pytest.raises(InputError, match=r'is no \.npy file'):
    request_files.read(str(tmp_path / 'deep.npy'), N)


def test_pickles_are_refused(tmp_path):
  path = tmp_path / 'r.npy'
  np.save(path, np.array([1, None]), allow_pickle=True)
  with pytest.raises(InputError, match='pickled objects'):
    request_files.read(str(path), N)


def test_bytes_behind_the_array_are_refused(tmp_path):
  path = tmp_path / 'r.npy'
  np.save(path, np.array([1, 2]))
  path.write_bytes(path.read_bytes() + b'\0')
  with pytest.raises(InputError, match='is damaged'):
    request_files.read(str(path), N)


@pytest.mark.parametrize(
  ('content', 'match'),
  [
    ('1\n\n# x\n3.5\n', "line 4: '3.5' is no position"),
    ('abc', "line 1: 'abc'"),
    ('1 2', "line 1: '1 2'"),
    ('1_0', "line 1: '1_0'"),
    ('٣', "line 1: '٣'"),
    ('nan', "line 1: 'nan'"),
    ('1\n-2', 'line 2: -2'),
    ('100', 'line 1: 100 is no position.*0 to 99'),
    ('9' * 20, f'line 1: {"9" * 20} is no'),
    ('9' * 5000, "line 1: '999.*… is no position"),
    ('5\n6\n5\n', 'line 3: 5 is there twice'),
    (b'1\n\xff', 'not UTF-8 text at byte 2'),
  ],
)
def test_bad_txt_files_are_refused(tmp_path, content, match):
  refused(tmp_path, content, '.txt', match)


@pytest.mark.parametrize(
  ('content', 'match'),
  [
    ('', 'one column named index.*has 0'),
    ('Index\n1\n', 'has 0'),
    ('index,index\n1,2\n', 'has 2'),
    ('index\n1\n2.0\n', "line 3: '2.0'"),
    ('name,index\na\n', "line 2: '' is no position"),
    ('index\n4\n4\n', 'line 3: 4 is there twice'),
    ('index\n"1', 'is no .csv file at line 2'),
  ],
)
def test_bad_csv_files_are_refused(tmp_path, content, match):
  refused(tmp_path, content, '.csv', match)


@pytest.mark.parametrize(
  ('content', 'match'),
  [
    ('[1,\n2', 'is no JSON at line 2'),
    ('', 'is no JSON'),
    ('{"index": [1]}', 'must hold a list'),
    ('3', 'must hold a list'),
    ('[1, true]', 'element 1: True is no position'),
    ('[3.0]', 'element 0: 3.0'),
    ('["3"]', "element 0: '3'"),
    ('[NaN]', 'element 0: nan'),
    ('[null]', 'element 0: None'),
    ('[[1]]', r'element 0: \[1\]'),
    ('[1e400]', 'element 0: inf'),
    (f'[{10**20}]', f'element 0: {10**20} is'),
    ('[' + '9' * 5000 + ']', "element 0: '999.*… is"),
    ('[7, 7]', 'element 1: 7 is there twice'),
    ('[' * 100_000, 'is no JSON'),
  ],
)
def test_bad_json_files_are_refused(tmp_path, content, match):
  refused(tmp_path, content, '.json', match)


def test_paths_that_are_no_files_are_refused(tmp_path):
  (tmp_path / 'folder.txt').mkdir()
  os.mkfifo(tmp_path / 'pipe.txt')
  for name, match in (
    ('none.txt', 'does not exist'),
    ('folder.txt', 'is not a file'),
    ('pipe.txt', 'is not a file'),
    ('list.xlsx', "ends in '.xlsx', but .* .npy, .txt, .csv, .json file"),
    ('list', "ends in ''"),
    ('x' * 300 + '.txt', 'cannot be read: File name too long|does not exist'),
    ('nul\0.txt', 'does not exist'),
  ):
    with pytest.raises(InputError, match=match):
      request_files.read(str(tmp_path / name), N)


@pytest.mark.parametrize(
  ('name', 'size', 'most'),
  [('large.npy', 2**30 + 1, 1024), ('large.txt', 2**21, 1)],
)
def test_a_file_too_large_for_its_positions_is_not_read(
  tmp_path, name, size, most
):
  path = tmp_path / name
  with path.open('wb') as file:
    file.truncate(size)
  with pytest.raises(InputError, match=f'larger than {most} MiB, too much'):
    request_files.read(str(path), N)
