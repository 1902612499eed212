"""Flax Linen modules as models."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxunlearn.types import Array, Model, Params, Variables

__all__ = ['from_linen', 'normalized', 'to_float']


def to_float(image: Array) -> Array:
  """Images as float in [0, 1]: uint8 is divided by 255, float passes."""
  if jnp.issubdtype(image.dtype, jnp.floating):
    return image
  return image.astype(jnp.float32) / 255


def from_linen(
  module: nn.Module, image_shape: tuple[int, ...] = (32, 32, 3)
) -> Model:
  """A Linen module as a `Model`.

  Args:
    module: called as `module(image, train=bool)`; collections other than
      `params` are taken for statistics that a training pass updates; a key
      given to `apply` is its `dropout` key.
    image_shape: of one image. Used to find the order of the layers only, so it
      matters for networks that cannot take 32x32x3.

  Returns:
    The model.
  """

  def init(key: Array, image: Array) -> Variables:
    return module.init(key, to_float(image), train=False)

  def apply(
    variables: Variables, image: Array, train: bool, key: Array | None = None
  ) -> tuple[Array, Variables]:
    image = to_float(image)
    if not train:
      return module.apply(variables, image, train=False), variables
    statistics = [name for name in variables if name != 'params']
    rngs = {} if key is None else {'dropout': key}
    logits, updated = module.apply(
      variables, image, train=True, mutable=statistics, rngs=rngs
    )
    return logits, {**variables, **updated}

  def order(params: Params) -> tuple[tuple[str, ...], ...]:
    found = _creation_order(module, image_shape)
    present = {_path(path) for path, _ in jax.tree.leaves_with_path(params)}
    if set(found) != present:
      odd = '/'.join(sorted(set(found) ^ present)[0])
      raise ValueError(
        f'{odd} is a parameter of the network or of these params, not of '
        'both: are they of another network?'
      )
    return found

  return Model(init, apply, order)


def normalized(
  model: Model,
  mean: float | tuple[float, ...],
  std: float | tuple[float, ...],
) -> Model:
  """The model behind a normalisation of its images: (image - mean) / std.

  Args:
    model: takes float images of any range.
    mean: of each channel or of all, of images in [0, 1].
    std: likewise; positive.

  Returns:
    A model of images that are uint8 or float in [0, 1].
  """
  mean, std = (jnp.asarray(x).reshape(1, 1, 1, -1) for x in (mean, std))

  def before(function: Callable, image: Array, *args, **kwargs):
    return function((to_float(image) - mean) / std, *args, **kwargs)

  def init(key: Array, image: Array) -> Variables:
    return before(lambda x: model.init(key, x), image)

  def apply(variables, image, train, key=None):
    return before(lambda x: model.apply(variables, x, train, key), image)

  return Model(init, apply, model.order)


def _path(path: tuple) -> tuple[str, ...]:
  return tuple(entry.key for entry in path)


def _creation_order(
  module: nn.Module, image_shape: tuple[int, ...]
) -> tuple[tuple[str, ...], ...]:
  """Paths of the parameters in the order in which a first pass makes them."""
  paths = []

  def note(tree, prefix=()):
    for name, value in tree.items():
      if hasattr(value, 'items'):
        note(value, (*prefix, name))
      else:
        paths.append((*prefix, name))

  def trace(image):
    # Seen here, inside the trace: outside, jax has sorted the names.
    note(module.init(jax.random.key(0), image, train=False)['params'])

  jax.eval_shape(trace, jax.ShapeDtypeStruct((1, *image_shape), jnp.float32))
  return tuple(paths)
