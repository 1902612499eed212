"""The one exception for a mistake that the user can mend."""

__all__ = ['Diverged', 'InputError']


class InputError(ValueError):
  """Bad input: the message is one sentence, what is wrong and what to do.

  The launcher prints the message alone and exits with code 2. Anything else
  that is raised is a bug and keeps its traceback.
  """


class Diverged(InputError):
  """Training went wrong for good: a loss or a logit is NaN or infinite."""
