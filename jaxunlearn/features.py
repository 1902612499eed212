"""A network taken apart: the layers that stand still, and those that move.

Where the last leaves alone move and the batch statistics are frozen, an image
comes out of the layers before them the same in every epoch, and so those need
to run but once.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun

from jaxunlearn import predict
from jaxunlearn.partition import Moving
from jaxunlearn.types import Array, Model, Resident, Source, Variables

__all__ = ['compute', 'split']


def compute(
  model: Model,
  moving: Moving,
  variables: Variables,
  sources: Mapping[str, Source],
  batch_size: int,
) -> tuple[Model, dict[str, Resident]]:
  """The part of a network that moves, and what it reads of each example.

  Args:
    model: the network, in eval mode.
    moving: which leaves of its parameters move, as in `partition`.
    variables: its variables.
    sources: {split: n examples}.
    batch_size: examples in a pass.

  Returns:
    (model, sources): the second part of `split`, and features in place of the
    images.
  """
  first = next(iter(sources.values())).take(jnp.zeros(1, jnp.int32))['image']
  image = jax.ShapeDtypeStruct(first.shape, first.dtype)
  before, after = split(model, moving, image)
  return after, {
    name: Resident(
      predict.logits(before, variables, source, batch_size),
      source.take(jnp.arange(len(source)))['label'],
    )
    for name, source in sources.items()
  }


# One object for one network, so that what is compiled of it is found again.
@functools.lru_cache(maxsize=64)
def split(
  model: Model, moving: Moving, image: jax.ShapeDtypeStruct
) -> tuple[Model, Model]:
  """The network in eval mode as two, of which the second holds what moves.

  Guarantees:
    One after the other they run the operations of `model.apply`, and the first
    reads no leaf that moves.

  Args:
    model: the network; what it says of an image must not depend on the others
      of its batch.
    moving: which leaves of its parameters move, as in `partition`.
    image: shape [1, h, w, c] and dtype of an image.

  Returns:
    (before, after): `before` gives features, a tuple of arrays [n, ...], where
    a network gives logits; `after` takes them where one takes images.

  Raises:
    ValueError: when applied, a network whose features have no axis of examples.
  """

  def before(variables: Variables, image: Array, *_: Any):
    first, _ = _take_apart(model, moving, variables, image)
    features = tuple(first(*jax.tree.leaves(variables), image))
    if any(x.shape[:1] != image.shape[:1] for x in features):
      raise ValueError(
        'the layers that stand still mix the examples of a batch, so their '
        'features cannot be kept: leave cache_features False.'
      )
    return features, variables

  def after(variables: Variables, features: tuple[Array, ...], *_: Any):
    count = features[0].shape[0]
    one = jax.ShapeDtypeStruct((count, *image.shape[1:]), image.dtype)
    _, second = _take_apart(model, moving, variables, one)
    return second(*jax.tree.leaves(variables), *features)[0], variables

  return Model(model.init, before, model.order), Model(
    model.init, after, model.order
  )


def _take_apart(model: Model, moving: Moving, variables, image):
  """(leaves, image) -> features, and (leaves, features) -> logits."""
  leaves, treedef = jax.tree.flatten(variables)

  def apply(leaves: list[Array], image: Array) -> Array:
    return model.apply(jax.tree.unflatten(treedef, leaves), image, False)[0]

  program = jax.make_jaxpr(apply)(leaves, image)
  jaxpr = program.jaxpr
  *parameters, image = jaxpr.invars
  moved = {
    variable
    for variable, moves in zip(
      parameters, _flags(variables, moving), strict=True
    )
    if moves
  }
  seen, first, second, read = {image}, [], [], list(jaxpr.outvars)
  for eqn in jaxpr.eqns:
    inputs = {x for x in eqn.invars if not isinstance(x, Literal)}
    if inputs & moved:
      moved.update(eqn.outvars)
    elif inputs & seen:
      seen.update(eqn.outvars)
  for eqn in jaxpr.eqns:
    if seen.isdisjoint(eqn.outvars):
      second.append(eqn)
      read.extend(x for x in eqn.invars if not isinstance(x, Literal))
    if moved.isdisjoint(eqn.outvars):
      first.append(eqn)
  features = [x for x in dict.fromkeys(read) if x in seen]

  def part(eqns, invars, outvars):
    names = jaxpr.debug_info.with_unknown_names()
    own = jaxpr.replace(
      eqns=eqns, invars=invars, outvars=outvars, debug_info=names
    )
    return jaxpr_as_fun(ClosedJaxpr(own, program.consts))

  return (
    part(first, jaxpr.invars, features),
    part(second, [*parameters, *features], jaxpr.outvars),
  )


def _flags(variables: Variables, moving: Moving) -> list[bool]:
  """Whether each leaf of the variables moves."""
  still = {k: jax.tree.map(lambda _: False, v) for k, v in variables.items()}
  treedef = jax.tree.structure(variables['params'])
  return jax.tree.leaves(
    {**still, 'params': jax.tree.unflatten(treedef, moving)}
  )
