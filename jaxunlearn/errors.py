"""The one exception for a mistake that the user can mend."""

__all__ = ['Conflict', 'Diverged', 'Impossible', 'InputError']


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
