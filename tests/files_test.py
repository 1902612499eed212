import errno
import os
import pathlib

import pytest

from jaxunlearn import files, memory
from jaxunlearn.errors import InputError, Unavailable


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


@pytest.mark.parametrize('read', [files.read_json, files.read_lines])
def test_what_is_larger_than_memory_is_not_read(tmp_path, read):
  path = tmp_path / 'a.json'
  path.touch()
  os.truncate(path, 2**43)
  with pytest.raises(InputError, match=r'a\.json is 8192\.0 GiB, more than'):
    read(path)


@pytest.mark.parametrize('read', [files.read_json, files.read_lines])
def test_what_may_not_be_read_is_not_called_damaged(
  tmp_path, read, monkeypatch
):
  def refuse(path, *_):
    raise PermissionError(errno.EACCES, 'Permission denied', str(path))

  path = tmp_path / 'a.json'
  path.write_text('{}')
  monkeypatch.setattr(pathlib.Path, 'read_text', refuse)
  with pytest.raises(
    Unavailable, match=r'a\.json cannot be read \(Permission denied\): mend'
  ):
    read(path)


@pytest.mark.parametrize(
  ('error', 'sentence'),
  [
    (
      OSError(errno.ENOSPC, 'x'),
      r'no room .*\(No space .*\); .*: free some sp',
    ),
    (OSError(errno.EDQUOT, 'x'), 'no room .* kept: free some of your quota'),
    (OSError(errno.EFBIG, 'x'), r'no room .*too large\); .*: raise the limit'),
    (ValueError('[No space left on device] in d/'), 'no room .*device.*: free'),
    (OSError(errno.EIO, 'x'), r'disk failed \(Input/.*\); .* kept: repair it'),
    (ValueError('d/: Read-only file system'), 'failed .*: mount it for writ'),
  ],
)
def test_a_disk_without_room_or_none_is_told_of_with_its_remedy(
  error, sentence
):
  with (
    pytest.raises(Unavailable, match=f'{sentence}.*, and run the same command'),
    files.writing('it is kept'),
  ):
    raise error


def test_what_has_its_sentence_keeps_it():
  sentence = 'w cannot be written (Read-only file system): choose another.'
  with (
    pytest.raises(InputError, match=r'^w cannot be written'),
    files.writing('it is kept'),
  ):
    raise InputError(sentence)


@pytest.mark.parametrize('error', [OSError(errno.ENOENT, 'x'), ValueError('x')])
def test_another_error_is_not_of_the_disk(error):
  with pytest.raises(type(error), match='x'), files.writing('it is kept'):
    raise error


def test_what_tensorstore_says_of_another_users_file_is_understood():
  error = ValueError('PERMISSION_DENIED: Error opening d/1: Permission denied')
  with pytest.raises(Unavailable, match=r'^it cannot be read \(Permission'):
    files.check_whole('it', error)
  files.check_whole('it', ValueError('DATA_LOSS: its checksum differs'))
  files.check_whole('it', OSError(errno.EIO, 'Input/output error'))


def test_nothing_is_written_through_a_link(tmp_path):
  letter = tmp_path / 'letter'
  letter.write_text('mine')
  (tmp_path / '.report.json.partial').symlink_to(letter)
  files.replace(tmp_path / 'report.json', 'ours')
  assert letter.read_text() == 'mine'
  assert (tmp_path / 'report.json').read_text() == 'ours'
  assert not (tmp_path / 'report.json').is_symlink()


@pytest.mark.parametrize(
  'line',
  [
    '{"model": [], "epoch": 1}',
    '{"model": "a", "epoch": "one"}',
    '{"model": "a", "epoch": 1, "accuracy_forget": [1]}',
    '{"model": "a", "epoch": 1, "loss": 1e400}',
  ],
)
def test_a_line_of_other_kinds_is_refused(tmp_path, line):
  path = tmp_path / 'metrics.jsonl'
  path.write_text(f'{line}\n')
  with pytest.raises(InputError, match='is damaged: remove'):
    files.read_lines(path)


def test_what_another_owns_is_told_of_with_its_remedy():
  words = pytest.raises(Unavailable, match=r'not ours to write .*\(chown\)')
  with words, files.writing('all is kept'):
    raise PermissionError(errno.EACCES, 'no')


def test_json_that_would_not_fit_as_objects_is_not_read(tmp_path, monkeypatch):
  path = tmp_path / 'a.json'
  path.write_text('{"a": [' + '[],' * 1000 + '[]]}')
  monkeypatch.setattr(memory, 'size', lambda: 20 * path.stat().st_size)
  with pytest.raises(InputError, match='may unpack to'):
    files.read_json(path)
