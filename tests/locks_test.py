import errno
import fcntl
import json
import os
import subprocess
import sys

import pytest

from jaxunlearn.errors import InputError
from jaxunlearn.locks import alone_in

HOLD = """
import sys, time
from pathlib import Path
from jaxunlearn.locks import alone_in
with alone_in(Path(sys.argv[1]), print):
  print('held', flush=True)
  time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
  process = subprocess.Popen(
    [sys.executable, '-c', HOLD, tmp_path], stdout=subprocess.PIPE, text=True
  )
  assert process.stdout.readline() == 'held\n'
  yield process
  process.kill()
  process.communicate()


def test_a_second_process_is_refused_and_told_of_the_first(tmp_path, holder):
  with (
    pytest.raises(
      InputError, match=f'{tmp_path} is in use by process {holder.pid} on .*: w'
    ),
    alone_in(tmp_path, print),
  ):
    pass
  assert (tmp_path / '.lock').exists()


def test_a_holder_that_died_is_told_of(tmp_path, holder):
  holder.kill()
  holder.wait()
  said = []
  with alone_in(tmp_path, said.append):
    pass
  (sentence,) = said
  assert f'process {holder.pid} on ' in sentence
  assert 'was stopped' in sentence


def test_nothing_is_left_of_a_lock(tmp_path):
  for _ in range(2):
    said = []
    with pytest.raises(RuntimeError), alone_in(tmp_path, said.append):
      raise RuntimeError
    assert said == [] and not list(tmp_path.iterdir())


@pytest.mark.parametrize('text', ['{', '3', '{"pid": "x", "host": 3}'])
def test_whatever_the_file_holds_it_can_be_taken(tmp_path, text):
  (tmp_path / '.lock').write_text(text)
  said = []
  with alone_in(tmp_path, said.append):
    pass
  assert said == [
    f'another process was stopped in {tmp_path}; its work goes on.'
  ]


def test_a_lock_that_leads_elsewhere_is_refused(tmp_path):
  (tmp_path / 'mine').write_text('mine')
  (tmp_path / '.lock').symlink_to(tmp_path / 'mine')
  with (
    pytest.raises(InputError, match=r'\.lock cannot be locked \('),
    alone_in(tmp_path, print),
  ):
    pass
  assert (tmp_path / 'mine').read_text() == 'mine'


def test_a_lock_of_no_text_can_be_taken(tmp_path):
  (tmp_path / '.lock').write_bytes(b'\xff\xfe')
  said = []
  with alone_in(tmp_path, said.append):
    pass
  assert len(said) == 1


def test_of_another_host_it_is_said_how_far_locks_reach(tmp_path):
  (tmp_path / '.lock').write_text(json.dumps({'host': 'node7', 'pid': 5}))
  said = []
  with alone_in(tmp_path, said.append):
    pass
  (sentence,) = said
  assert sentence.startswith(f'process 5 on node7 no longer holds {tmp_path}, ')
  assert 'make sure that it has ended' in sentence


@pytest.mark.parametrize('number', [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch, number):
  def flock(*_):
    raise OSError(number, os.strerror(number))

  monkeypatch.setattr(fcntl, 'flock', flock)
  with (
    pytest.raises(InputError, match='on a file system that has locks'),
    alone_in(tmp_path, print),
  ):
    pass


def test_a_folder_that_may_not_be_written_is_named(tmp_path, monkeypatch):
  def refuse(*_):
    raise OSError(errno.EACCES, 'Permission denied')

  monkeypatch.setattr(os, 'open', refuse)
  with (
    pytest.raises(InputError, match='see that its folder can be written'),
    alone_in(tmp_path, print),
  ):
    pass
