import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxunlearn import files
from jaxunlearn.errors import InputError


def test_lines_are_read_and_none_where_there_is_no_file(tmp_path):
  path = tmp_path / 'metrics.jsonl'
  assert files.read_lines(path) == []
  path.write_text('{"model": "a", "epoch": 1}\n{"model": "b", "epoch": 2}\n')
  assert [line['model'] for line in files.read_lines(path)] == ['a', 'b']


@pytest.mark.parametrize('line', ['{}', '{"model": "a"}', '[1]', '3', '{'])
def test_a_line_that_no_run_has_written_is_refused(tmp_path, line):
  path = tmp_path / 'metrics.jsonl'
  path.write_text(f'{{"model": "a", "epoch": 1}}\n{line}\n')
  with pytest.raises(InputError, match=r'metrics\.jsonl is damaged: remove'):
    files.read_lines(path)


def test_an_object_is_wanted(tmp_path):
  path = tmp_path / 'report.json'
  path.write_text('{"a": 1}')
  assert files.read_json(path) == {'a': 1}
  path.write_text('[1]')
  with pytest.raises(InputError, match=r'report\.json is damaged'):
    files.read_json(path)
  with pytest.raises(InputError, match='nosuch is damaged'):
    files.read_json(tmp_path / 'nosuch')


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
  path = tmp_path / 'x.md'
  files.replace(path, 'old')

  def fail(source, target):
    raise OSError('disk full')

  monkeypatch.setattr(os, 'replace', fail)
  with pytest.raises(OSError, match='disk full'):
    files.replace(path, 'new')
  assert path.read_text() == 'old'


@pytest.mark.fuzz
@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
@given(data=st.data())
def test_arrays_with_a_flipped_bit_are_read_or_refused(
  tmp_path_factory, save, data
):
  path = tmp_path_factory.getbasetemp() / f'{save.__name__}.npz'
  save(path, forget=np.arange(6.0), retain=np.zeros((2, 3)))
  content = bytearray(path.read_bytes())
  bit = data.draw(st.integers(0, 8 * len(content) - 1))
  content[bit // 8] ^= 1 << bit % 8
  path.write_bytes(content)
  try:
    files.read_npz(path)
  except InputError as error:
    assert 'is damaged' in str(error)


def test_what_is_nested_without_end_is_damaged(tmp_path):
  (tmp_path / 'a.json').write_text('[' * 100_000)
  with pytest.raises(InputError, match='is damaged'):
    files.read_json(tmp_path / 'a.json')


def test_of_a_link_the_link_goes_and_no_more(tmp_path):
  (tmp_path / 'mine').mkdir()
  (tmp_path / 'mine/letter').touch()
  link = tmp_path / '.unfinished-row'
  link.symlink_to(tmp_path / 'mine')
  files.remove_folder(link)
  assert not link.exists() and (tmp_path / 'mine/letter').exists()
