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

  Raises:
    ValueError: a network in which what the layers that stand still make of an
      image depends on the others of its batch.
  """
  source = next(iter(sources.values()))
  images = source.take(jnp.arange(min(4, len(source))))['image']
  image = jax.ShapeDtypeStruct((1, *images.shape[1:]), images.dtype)
  before, after = split(model, moving, image)
  _check_apart(before, variables, images)
  return after, {
    name: Resident(
      predict.logits(before, variables, source, batch_size),
      _labels(source, batch_size),
      getattr(source, 'sharding', None),
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

  """

  def before(variables: Variables, image: Array, *_: Any):
    first, _ = _take_apart(model, moving, variables, image)
    return tuple(first(*jax.tree.leaves(variables), image)), variables

  def after(variables: Variables, features: tuple[Array, ...], *_: Any):
    count = features[0].shape[0]
    one = jax.ShapeDtypeStruct((count, *image.shape[1:]), image.dtype)
    _, second = _take_apart(model, moving, variables, one)
    return second(*jax.tree.leaves(variables), *features)[0], variables

  return Model(model.init, before, model.order), Model(
    model.init, after, model.order
  )


def _check_apart(before: Model, variables: Variables, images: Array) -> None:
  """Checks that an image has the features that it has among others."""
  apply = jax.jit(before.apply, static_argnums=2)
  together, _ = apply(variables, images, False)
  each = [
    apply(variables, images[i : i + 1], False)[0] for i in range(len(images))
  ]
  for whole, *parts in zip(together, *each, strict=True):
    apart = jnp.concatenate([jnp.atleast_1d(x) for x in parts])
    # Wide enough for bfloat16, and far from what another batch makes of it.
    if whole.shape != apart.shape or not jnp.allclose(
      whole, apart, rtol=0.0, atol=0.05 * float(jnp.abs(whole).max())
    ):
      raise ValueError(
        'the layers that stand still mix the examples of a batch, so their '
        'features cannot be kept: leave cache_features False.'
      )


def _labels(source: Source, batch_size: int) -> Array:
  """All labels, without holding more images than those of a batch."""
  starts = range(0, len(source), batch_size)
  return jnp.concatenate(
    [
      source.take(jnp.arange(x, min(x + batch_size, len(source))))['label']
      for x in starts
    ]
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
