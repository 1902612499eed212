import io
import subprocess
import sys

from rich.console import Console

from jaxunlearn.progress import Progress


def speak(terminal):
  file = io.StringIO()
  console = Console(file=file, force_terminal=terminal, width=60)
  progress = Progress(console)
  progress.begin('original')
  progress.update('half an epoch')
  progress.epoch('one epoch')
  progress.end('done')
  return file.getvalue()


def test_a_file_gets_a_line_for_each_epoch():
  assert speak(terminal=False).splitlines() == [
    'original: compiling',
    'original: one epoch',
    'original: done',
  ]


def test_a_terminal_gets_one_live_line():
  said = speak(terminal=True)
  assert 'original: compiling' in said
  assert 'original: half an epoch' in said
  assert said.endswith('original: done\n')


def test_a_sentence_is_not_broken_in_a_file():
  file = io.StringIO()
  Progress(Console(file=file, width=20)).say('word ' * 20)
  assert file.getvalue().count('\n') == 1


def test_a_reader_that_is_gone_ends_nothing(tmp_path):
  """As tee is after Ctrl-C, of which the run has yet to save what it can."""
  script = """
import sys
from jaxunlearn.progress import Progress
progress = Progress()
for _ in range(3):
  progress.say('anyone there?' * 10000)
print('done', file=sys.stderr)
"""
  with subprocess.Popen(
    [sys.executable, '-c', script],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  ) as process:
    process.stdout.close()
    assert process.stderr.read() == 'done\n'
  assert process.returncode == 0
