import os

import pytest

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
