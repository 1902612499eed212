"""The command line: python -m jaxunlearn.launch --config=configs/NAME.py."""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

from jaxunlearn import mistakes
from jaxunlearn.errors import InputError, Interrupted

_STOPPED = 75  # EX_TEMPFAIL of sysexits.h.
_GONE = 69  # EX_UNAVAILABLE.
_GOES_ON = 'the same command goes on from the last checkpoint.'
_USAGE = """\
Unlearns part of a classifier's training data, and reports what was forgotten.

  python -m jaxunlearn.launch --config=configs/NAME.py
      [--config.KEY=VALUE ...] [--workdir=DIR]

  --config    an experiment, such as configs/digits_topk.py
  --config.KEY=VALUE
              changes a setting, such as --config.forget.fraction=0.2; all are
              in configs/common.py, with what they mean
  --workdir   where results go; workdirs/NAME by default. A second start goes
              on where the first stopped

Exit code 0 when the report is written, 2 after a mistake in what was given, 75
after Ctrl-C or SIGTERM, 69 where another process of the run is gone: the same
command goes on from where it was saved."""

_CONFIG = config_flags.DEFINE_config_file(
  'config', None, 'A file of configs/, such as configs/digits_topk.py.'
)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Where results go; workdirs/NAME by default.'
)


def main(argv: list[str]) -> None:
  """Runs the experiment that the flags describe, and prints its table."""
  del argv
  # Orbax tells of every file, and of what it raises a traceback each.
  logging.set_verbosity(logging.FATAL)
  sys.unraisablehook = _unraisable
  import jax

  from jaxunlearn import hosts, interrupts, machine

  machine.keep_memory()
  try:
    with interrupts.noted() as noted:
      _run(noted)
  except InputError as error:
    _refuse(error)
  except (Interrupted, KeyboardInterrupt) as error:
    done = str(error) or 'stopped at once'
    _refuse(f'{done}; {_GOES_ON}', _STOPPED)
  except jax.errors.JaxRuntimeError as error:
    if not hosts.is_gone(error):
      raise
    (why, *_) = str(error).splitlines()
    _say(f'another process of this run is gone ({why[:200]}); {_GOES_ON}')
    # Else this one would wait for it once more.
    os._exit(_GONE)


def _run(noted: Callable[[], bool]) -> None:
  from jaxunlearn import compile_cache, experiment, hosts, settings
  from jaxunlearn.progress import Progress
  from jaxunlearn.report import tables, words

  config = _CONFIG.value
  settings.check(config)
  hosts.join(config.hosts)
  file = config_flags.get_config_filename(flags.FLAGS['config'])
  workdir = Path(_WORKDIR.value or f'workdirs/{_name(file)}')
  progress = Progress()
  for setting, cells in _overruled(config).items():
    progress.say(
      f'--config.{setting} does not reach {", ".join(cells)}, which set it '
      'themselves.'
    )
  try:
    compile_cache.keep(config.cache_dir, progress.say)
    report = experiment.run(config, workdir, progress, noted)
  finally:
    progress.end()
  if config.matrix:
    done = sum(cell is not None for cell in report.values())
    progress.say(f'{done} of {len(report)} cells are done.')
    folders = ('tables', 'figures', 'cells')
    there = [f'{name}/' for name in folders if (workdir / name).is_dir()]
    progress.say(f'Written to {workdir}: {", ".join(["report.md", *there])}.')
    return
  progress.print(tables.console(report, progress.width))
  for sentence in words.remarks(report):
    progress.say(f'- {sentence}')
  progress.say(f'Written to {workdir}: report.md, report.json, figures/.')


def parse(argv: list[str]) -> list[str]:
  """Parses the flags; a mistake is one line and exit code 2."""
  if {'--help', '-h', '-help'} & set(argv[1:]):
    print(_USAGE)
    sys.exit(0)
  try:
    left = flags.FLAGS(argv)
    config = _CONFIG.value
    if config is not None:
      config.keys()
      mistakes.check_config(config)
  # Whatever a config file raises is a mistake in it.
  except Exception as error:
    _refuse(mistakes.sentence(error))
  if config is None:
    _refuse('--config is missing: give --config=configs/digits_topk.py.')
  for setting, cells in _overruled(config).items():
    if len(cells) == len(config.matrix):
      _refuse(
        f'--config.{setting} has no effect, because every cell of the matrix '
        'sets it: change it there, in the file that --config names.'
      )
  if len(left) > 1:
    _refuse(f'{left[1]!r} is not a flag: settings are --config.KEY=VALUE.')
  return left


def _unraisable(raised: Any) -> None:
  """Python's own, but for threads of a write that failed.

  Orbax closes the loop that they report to, and each would leave a traceback.
  """
  if str(raised.exc_value) != 'Event loop is closed':
    sys.__unraisablehook__(raised)


def _overruled(config: Any) -> dict[str, list[str]]:
  given = config_flags.get_override_values(flags.FLAGS['config'])
  return mistakes.overruled(given, config.to_dict().get('matrix', {}))


def _name(file: str) -> str:
  """configs/paper/table2.py:small is table2-small."""
  path, _, variant = file.partition(':')
  return '-'.join(filter(None, (Path(path).stem, variant)))


def _refuse(sentence: object, code: int = 2) -> None:
  _say(sentence)
  sys.exit(code)


def _say(sentence: object) -> None:
  # One line, whatever the names in it hold.
  shown = ''.join(
    x if x.isprintable() else ascii(x)[1:-1] for x in str(sentence)
  )
  # Who reads it may be gone, as tee is after Ctrl-C.
  with contextlib.suppress(OSError):
    print(f'jaxunlearn{_who()}: {shown}', file=sys.stderr, flush=True)


def _who() -> str:
  """Which process this is, where another one speaks for all."""
  # Nobody is joined before that is imported, which takes a second.
  hosts = sys.modules.get('jaxunlearn.hosts')
  return f' (process {hosts.index()})' if hosts and not hosts.leads() else ''


if __name__ == '__main__':
  app.run(main, flags_parser=parse)
