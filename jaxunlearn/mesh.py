"""Where arrays live: on one mesh of devices, over which work is split."""

import contextlib
import dataclasses
import functools
import math
from collections import Counter
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxunlearn.data.streams import Stream
from jaxunlearn.errors import InputError
from jaxunlearn.types import Array, Model, PyTree, Resident

__all__ = ['described', 'gathered', 'like', 'make', 'place', 'spread', 'within']

Data = TypeVar('Data', Resident, Stream)

_AXES = ('data', 'model')
# A smaller array lies whole on each device: to gather it costs more than it
# takes up.
_SMALL = 2**10


def make(data: int, model: int = 1) -> Mesh | None:
  """The mesh of `config.mesh`; None of one device, which needs none.

  Args:
    data: devices along which parameters are alike; 0 for as many as there are.
    model: devices along which parameters are split.

  Raises:
    InputError: there are fewer devices.
  """
  devices = jax.devices()
  most = len(devices) // model
  if not most or data > most:
    raise InputError(
      f'mesh.data is {data} and mesh.model {model}, but there are '
      f'{len(devices)} device(s): their product may be no more; a data of 0 '
      'takes all.'
    )
  shape = data or most, model
  devices = devices[: math.prod(shape)]
  share = Counter(device.process_index for device in devices)
  if len(share) < jax.process_count() or len(set(share.values())) > 1:
    raise InputError(
      f'mesh.data {data} and mesh.model {model} take {len(devices)} devices, '
      f'which are not as many of each of the {jax.process_count()} processes: '
      'take all, with a data of 0, and start processes with equally many.'
    )
  if len(devices) == 1:
    return None
  return jax.make_mesh(shape, _AXES, (AxisType.Auto,) * 2, devices=devices)


def described(mesh: Mesh) -> str:
  """What a user is told of it."""
  parts = mesh.shape['model']
  shared = f', every {parts} of them the parameters' if parts > 1 else ''
  return f'{mesh.size} devices share each batch{shared}'


def within(mesh: Mesh | None) -> contextlib.AbstractContextManager:
  """In which what is compiled knows the mesh."""
  return jax.set_mesh(mesh) if mesh else contextlib.nullcontext()


def spread(mesh: Mesh | None, source: Data) -> Data:
  """The source with its batches split over all devices.

  A batch that the devices do not divide evenly lies whole on each, as does a
  source that is resident.
  """
  if mesh is None:
    return source
  if isinstance(source, Resident):
    whole = NamedSharding(mesh, PartitionSpec())
    source = jax.tree.map(lambda x: _put(x, whole), source)
  along = NamedSharding(mesh, PartitionSpec(_AXES))
  return dataclasses.replace(source, sharding=along)


def place(mesh: Mesh | None, tree: PyTree) -> PyTree:
  """A model, or what trains one, on a mesh: large arrays along `model`."""
  if mesh is None:
    return jax.tree.map(
      lambda x: jnp.asarray(x) if isinstance(x, np.ndarray) else x, tree
    )
  return jax.tree.map(lambda x: _put(x, _home(mesh, x.shape)), tree)


def like(mesh: Mesh | None, tree: PyTree) -> PyTree:
  """Shapes and dtypes, each with where `place` puts it."""
  if mesh is None:
    return tree
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      x.shape, x.dtype, sharding=_home(mesh, x.shape)
    ),
    tree,
  )


# One object for one network, so that what is compiled of it is found again.
@functools.lru_cache(maxsize=64)
def gathered(mesh: Mesh | None, model: Model) -> Model:
  """A network whose parameters lie as `place` puts them.

  Each is gathered where it is used, and so is its gradient before it goes where
  it lives, as in FSDP (Zhao et al., 2023): no operation of the network is split
  but over examples. What stays is split; while a step runs, all of it may be
  whole at once.
  """
  if mesh is None or mesh.shape['model'] == 1:
    return model

  def at_home(x: Array) -> Array:
    return jax.lax.with_sharding_constraint(x, _home(mesh, x.shape))

  def whole(x: Array) -> Array:
    return jax.lax.with_sharding_constraint(
      x, NamedSharding(mesh, PartitionSpec())
    )

  # The gradient is whole first, for where it goes XLA would read back into the
  # activations, and so double that of a convolution's kernel (jax 0.10.2).
  gather = jax.custom_vjp(whole)
  gather.defvjp(lambda x: (whole(x), None), lambda _, x: (at_home(whole(x)),))

  def init(key, image):
    return jax.tree.map(at_home, model.init(key, image))

  def apply(variables, image, train, key=None):
    params = jax.tree.map(gather, variables['params'])
    logits, after = model.apply(
      {**variables, 'params': params}, image, train, key
    )
    return logits, {**after, 'params': variables['params']}

  return Model(init, apply, model.order)


def _put(x: Array, sharding: NamedSharding) -> Array:
  """What each process has whole, or all of them in parts, on the mesh."""
  key = jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
  apart = isinstance(x, jax.Array) and not x.is_fully_addressable
  if key or apart or sharding.is_fully_addressable:
    return jax.device_put(x, sharding)
  # Where device_put would have the processes compare what they have.
  held = np.asarray(x)
  return jax.make_array_from_callback(x.shape, sharding, held.__getitem__)


def _home(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
  """Along the largest axis that `model` divides evenly, if it is worth it."""
  count = mesh.shape['model']
  even = [axis for axis, size in enumerate(shape) if size % count == 0]
  spec = ()
  if count > 1 and even and math.prod(shape) >= _SMALL:
    axis = max(even, key=lambda axis: shape[axis])
    spec = *(None,) * axis, 'model'
  return NamedSharding(mesh, PartitionSpec(*spec))
