import io

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
