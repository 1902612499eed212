"""Judges: frozen models that say what they see in an image."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxunlearn.types import Array, Model, Variables

__all__ = ['Judge', 'hits', 'judge']

Judge = Callable[[Array], Array]
"""Images [n, h, w, c], float in [0, 1], to logits [n, classes], in eval mode.

Any function that jax can trace will do.
"""


def judge(model: Model, variables: Variables) -> Judge:
  """A model as a judge.

  It is a pytree. Its variables pass through jit as arguments, where those of a
  closure would be compiled into each program as constants; judges that share a
  model share its programs.

  Args:
    model: the network.
    variables: its variables.

  Returns:
    images -> logits [n, classes], in eval mode.
  """
  apply = jax.tree_util.Partial(model.apply)
  return jax.tree_util.Partial(_logits, apply, variables)


@jax.jit
def hits(function: Judge, image: Array, label: Array) -> Array:
  """Whether the judge sees what the label says: bool [n].

  Equal judges answer equally, for one program serves all of a model.

  Args:
    function: a judge, as a pytree.
    image: [n, h, w, c], float in [0, 1].
    label: [n], integer.
  """
  return jnp.argmax(function(image), axis=-1) == label


def _logits(apply: Callable, variables: Variables, image: Array) -> Array:
  return apply(variables, image, False)[0]
