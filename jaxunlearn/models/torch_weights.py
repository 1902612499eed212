"""Weights of a network that was trained in PyTorch."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxunlearn.errors import InputError
from jaxunlearn.models import safetensors
from jaxunlearn.types import Model, Variables

__all__ = ['from_torch_state_dict']

_LEAVES = {
  'kernel': 'weight',
  'scale': 'weight',
  'mean': 'running_mean',
  'var': 'running_var',
}
# What PyTorch networks call the parts of ours.
_ALIASES = (
  (re.compile(r'^(linear|classifier)(?=\.)'), 'fc'),
  (re.compile(r'(?<=\.)(shortcut|downsample)\.0(?=\.)'), 'shortcut_conv'),
  (re.compile(r'(?<=\.)(shortcut|downsample)\.1(?=\.)'), 'shortcut_bn'),
)
_WRAPPERS = ('module.', '_orig_mod.')


def from_torch_state_dict(
  state_dict: Mapping[str, Any] | str | Path,
  model: Model,
  *,
  image_shape: tuple[int, int, int] = (32, 32, 3),
) -> Variables:
  """The variables of a network, from the weights of its PyTorch counterpart.

  `layer1_0/conv1/kernel` here is `layer1.0.conv1.weight` there: a number at
  the end of a name is a place in a `torch.nn.Sequential`. The classifier `fc`
  may be called `linear` or `classifier`, and the parts of a ResNet's shortcut
  `shortcut.0` and `.1` or `downsample.0` and `.1`. Prefixes that
  `DataParallel` and `torch.compile` leave, and `num_batches_tracked`, are
  passed over.

  Kernels of convolutions go from OIHW to HWIO, those of dense layers from
  [out, in] to [in, out]; where a dense layer follows a flattened image its
  inputs are put in the order of height, width, channels. Transposed
  convolutions are not known.

  Args:
    state_dict: {name: array} of NumPy arrays or of what `np.asarray` takes,
      such as PyTorch tensors in CPU memory; or the path of a `.safetensors`
      file. A pickle is never read.
    model: the network, `models.create('resnet18', 10)`.
    image_shape: of one image: height, width, channels.

  Returns:
    {'params': ..., 'batch_stats': ...} on the default device, in the dtypes of
    the model (float32); floats of another width are cast.

  Raises:
    InputError: the file cannot be read; a name is missing or unknown; an array
      has another shape, is no float, or holds a NaN or an infinity.

  Example:
    >>> from jaxunlearn import models
    >>> model = models.create('cnn', 10, width=2)
    >>> from_torch_state_dict({'linear.bias': np.zeros(9)}, model)
    Traceback (most recent call last):
    ...
    jaxunlearn.errors.InputError: linear.bias has shape (9,) where this \
network has (10,): create the model with the width and the number of classes \
of these weights.
  """
  image = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
  like = jax.eval_shape(model.init, jax.random.key(0), image)
  leaves = {_key(path): leaf for path, leaf in jax.tree.leaves_with_path(like)}
  found = {}
  for name, (said, value) in _entries(state_dict).items():
    key = _known(name, leaves)
    if key is None:
      raise InputError(
        f'{said} is not a leaf of this network: give the weights of the same '
        'architecture, under the names of its PyTorch original.'
      )
    if key in found:
      raise InputError(
        f'{said} stands for the same leaf as {found[key][0]}: leave one out.'
      )
    found[key] = said, _checked(said, value, leaves[key])
  for key in leaves:
    if key not in found:
      raise InputError(
        f'{_spelled(key, found)} is missing among the weights: give those of '
        'the same architecture, under the names of its PyTorch original.'
      )
  channels = _channels_first(model, like, image, found)
  return jax.tree.map_with_path(
    lambda path, leaf: jnp.asarray(
      _channels_last(found[_key(path)][1], channels.get(_key(path)))
    ),
    like,
  )


def _entries(state_dict: Any) -> dict[str, tuple[str, Any]]:
  """{name without prefix: (name as given, array)}."""
  if isinstance(state_dict, str | Path):
    path = Path(state_dict)
    if path.suffix.lower() != '.safetensors':
      raise InputError(
        f'{path} is no .safetensors file, and a pickle (.pth, .pt, .bin, '
        '.ckpt) can run any code when it is read: convert it in PyTorch, '
        "safetensors.torch.save_file(model.state_dict(), 'model.safetensors')."
      )
    state_dict = safetensors.read(path)
  if not isinstance(state_dict, Mapping):
    raise InputError(
      f'a state_dict is a dictionary or the path of a .safetensors file, and '
      f'this is a {type(state_dict).__name__}: give model.state_dict().'
    )
  entries = {
    str(name): (str(name), value)
    for name, value in state_dict.items()
    if not str(name).endswith('num_batches_tracked')
  }
  while prefix := next(
    (p for p in _WRAPPERS if entries and all(n.startswith(p) for n in entries)),
    None,
  ):
    entries = {name.removeprefix(prefix): e for name, e in entries.items()}
  return entries


def _key(path: tuple) -> str:
  """Our path, but for its collection, as PyTorch would write it."""
  *modules, leaf = (entry.key for entry in path[1:])
  return '.'.join([*map(_indexed, modules), _LEAVES.get(leaf, leaf)])


def _indexed(name: str) -> str:
  return re.sub(r'_(\d+)(?=\.|$)', r'.\1', name)


def _known(name: str, leaves: Mapping) -> str | None:
  """The key of a leaf under whatever name it is given; None for no leaf."""
  name = _indexed(name)
  if name not in leaves:
    for alias, ours in _ALIASES:
      name = alias.sub(ours, name)
  return name if name in leaves else None


def _spelled(key: str, found: Mapping) -> str:
  """A key as these weights, or else the PyTorch original, would write it."""
  module, _, leaf = key.rpartition('.')
  for other, (said, _) in found.items():
    if other.rpartition('.')[0] == module:
      return f'{said.rpartition(".")[0]}.{leaf}'
  return key.replace('shortcut_conv', 'shortcut.0').replace(
    'shortcut_bn', 'shortcut.1'
  )


def _checked(name: str, value: Any, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
  """The array, in the dtype of the leaf and still in PyTorch's layout."""
  if isinstance(value, Mapping):
    raise InputError(
      f'{name} is a dictionary, not an array: give that dictionary alone if '
      'it holds the weights.'
    )
  try:
    array = np.asarray(value)
  # PyTorch's, for a tensor on a device, with a gradient, or in bfloat16.
  except (TypeError, RuntimeError, ValueError) as error:
    raise InputError(
      f'{name} is nothing that NumPy reads as an array: give '
      'tensor.detach().cpu().float().'
    ) from error
  if not jnp.issubdtype(array.dtype, jnp.floating):
    raise InputError(
      f'{name} is {array.dtype}, and weights are floating-point: give those '
      'of a network that is not quantised.'
    )
  shape = leaf.shape
  if len(shape) > 1:
    *window, inputs, outputs = shape
    shape = (outputs, inputs, *window)
  if array.shape != shape:
    raise InputError(
      f'{name} has shape {array.shape} where this network has {shape}: create '
      'the model with the width and the number of classes of these weights.'
    )
  # What overflows is an infinity, and refused as one.
  with np.errstate(over='ignore'):
    array = array.astype(leaf.dtype)
  if not np.isfinite(array.astype(np.float32)).all():
    raise InputError(
      f'{name} holds a NaN or an infinity (in {leaf.dtype}): give weights '
      'that were saved before training diverged.'
    )
  return array


def _channels_last(array: np.ndarray, channels: int | None) -> np.ndarray:
  """Kernels from OIHW to HWIO; `channels` of the image that is flattened."""
  if channels is not None:
    outputs = len(array)
    array = array.reshape(outputs, channels, -1).swapaxes(1, 2)
    return array.reshape(outputs, -1).T
  if array.ndim > 1:
    return array.transpose(*range(2, array.ndim), 1, 0)
  return array


def _channels_first(
  model: Model, like: Variables, image: Any, found: Mapping
) -> dict[str, int]:
  """{key: channels} of the dense kernels that read a flattened image."""
  jaxpr = jax.make_jaxpr(lambda v, x: model.apply(v, x, False)[0])(like, image)
  flattened = dict(_flattenings(jaxpr.jaxpr))
  channels, before = {}, None
  if not flattened:
    return channels
  for path in model.order(like['params']):
    key = _key(tuple(map(jax.tree_util.DictKey, ('params', *path))))
    said, array = found[key]
    if array.ndim == 2 and array.shape[1] in flattened:
      if before == array.shape[1:]:
        raise InputError(
          f'{said} follows a norm of a flattened image, whose features '
          'PyTorch has in another order: this is not converted, so put them '
          'in the order of height, width, channels yourself.'
        )
      channels[key] = flattened.pop(array.shape[1])
    before = array.shape
  return channels


def _flattenings(jaxpr: Any) -> Iterator[tuple[int, int]]:
  """(h·w·c, c) of each [n, h, w, c] that is reshaped to [n, h·w·c]."""
  for equation in jaxpr.eqns:
    if equation.primitive.name == 'reshape':
      before, after = (
        equation.invars[0].aval.shape,
        equation.outvars[0].aval.shape,
      )
      if len(before) == 4 and len(after) == 2 and before[0] == after[0]:
        yield after[1], before[3]
    for value in equation.params.values():
      inner = getattr(value, 'jaxpr', value)
      if hasattr(inner, 'eqns'):
        yield from _flattenings(inner)
