"""Where arrays live: on one mesh of devices, along which batches are split."""

import contextlib
import dataclasses

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxunlearn.errors import InputError
from jaxunlearn.types import PyTree, Resident

__all__ = ['make', 'place', 'spread', 'within']


def make(data: int) -> Mesh | None:
  """The mesh of `config.mesh`; None of one device, which needs none.

  Args:
    data: devices along which a batch is split; 0 for all there are.

  Raises:
    InputError: there are fewer devices.
  """
  devices = jax.devices()
  if data > len(devices):
    raise InputError(
      f'mesh.data is {data}, but there are {len(devices)} device(s): take no '
      'more, or 0 for all.'
    )
  devices = devices[: data or len(devices)]
  if len(devices) == 1:
    return None
  return jax.make_mesh(
    (len(devices),), ('data',), (AxisType.Auto,), devices=devices
  )


def within(mesh: Mesh | None) -> contextlib.AbstractContextManager:
  """In which what is compiled knows the mesh."""
  return jax.set_mesh(mesh) if mesh else contextlib.nullcontext()


def spread(mesh: Mesh | None, source: Resident) -> Resident:
  """The source on every device, its batches split over them.

  A batch that the devices do not divide evenly lies whole on each.
  """
  if mesh is None:
    return source
  along = NamedSharding(mesh, PartitionSpec('data'))
  return dataclasses.replace(place(mesh, source), sharding=along)


def place(mesh: Mesh | None, tree: PyTree) -> PyTree:
  """A tree whole on every device of a mesh."""
  if mesh is None:
    return tree
  return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))
