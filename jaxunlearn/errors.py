"""What ends a run in a sentence: a mistake that one can mend, or a signal."""

__all__ = [
  'Conflict',
  'Diverged',
  'Impossible',
  'InputError',
  'Interrupted',
  'Unavailable',
]


class InputError(ValueError):
  """Bad input: the message is one sentence, what is wrong and what to do.

  The launcher prints the message alone and exits with code 2. Anything else
  that is raised is a bug and keeps its traceback.
  """


class Conflict(InputError):
  """What is on disk was made otherwise than now asked; it is left as it is."""


class Diverged(InputError):
  """Training went wrong for good: a loss or a logit is NaN or infinite."""


class Impossible(InputError):
  """A row asks for what this network does not have, such as its 99th leaf."""


class Unavailable(InputError):
  """A file or folder cannot be used now: full, in use, or not to be read.

  What is there is whole, and the same command goes on from it.
  """


class Interrupted(Exception):
  """A signal stopped the run, which goes on at the next start.

  The message says up to where it is saved; the launcher exits with code 75.
  """
