"""How many passes a selection makes, for tests and benchmarks."""

import contextlib
from collections.abc import Iterator
from unittest import mock

import jax


@contextlib.contextmanager
def counted() -> Iterator[list[int]]:
  """Of each search over what is selected inside, not compiled as a whole.

  Passes that move the bound; those that part ties or are made in vain are not
  among them.
  """
  found, while_loop = [], jax.lax.while_loop

  def loop(*args):
    state = while_loop(*args)
    # The first of all that a search keeps.
    found.append(int(jax.tree.leaves(state)[0]))
    return state

  with mock.patch.object(jax.lax, 'while_loop', loop):
    yield found
