"""The command line: python -m jaxunlearn.report WORKDIR."""

import sys
from collections.abc import Sequence

from jaxunlearn import report
from jaxunlearn.errors import InputError

__all__ = ['main']

_USAGE = """\
Draws again the tables and figures of a finished run, or of all matrices of runs
that a workdir holds, from the results on disk; nothing is trained.

  python -m jaxunlearn.report WORKDIR

Exit code 0 when they are written, 2 after a mistake in what was given."""


def main(arguments: Sequence[str]) -> int:
  """Redraws a workdir and prints which files it wrote.

  Args:
    arguments: of the command line, without the program's name.

  Returns:
    The exit code.
  """
  if {'--help', '-h'} & set(arguments):
    print(_USAGE)
    return 0
  try:
    if len(arguments) != 1:
      raise InputError('give one workdir: python -m jaxunlearn.report WORKDIR.')
    for path in report.redraw(arguments[0]):
      print(path)
  except InputError as error:
    print(f'jaxunlearn: {error}', file=sys.stderr)
    return 2
  except OSError as error:
    print(
      f'jaxunlearn: {error.filename or arguments[0]} cannot be read or '
      f'written ({error.strerror}): mend that and start again.',
      file=sys.stderr,
    )
    return 2
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
