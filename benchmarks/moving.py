"""Between processes: python -m benchmarks.moving HOST:PORT COUNT INDEX SIZE.

Each has one device. The first prints an object of JSON: seconds, round by
round, in which SIZE bytes are passed on to a neighbour, summed over all, and
gathered from the share of each.
"""

import json
import sys
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks import timing
from jaxunlearn import hosts, machine, mesh

_ROUNDS = 9


def main(coordinator: str, count: int, index: int, size: int) -> None:
  """Measures it."""
  machine.keep_memory()
  settings = {'coordinator': coordinator, 'count': count, 'index': index}
  hosts.join({**settings, 'heartbeat_timeout_seconds': 30})
  works = _works(mesh.make(count), count, size // 4)
  found = {name: [] for name in works}
  for number in range(_ROUNDS + 2):
    for name, work in works.items():
      taken = timing.seconds(work)
      if number > 1:
        found[name].append(taken)
  if hosts.leads():
    print(json.dumps(found))


def _works(devices: Mesh, count: int, size: int) -> dict[str, Callable]:
  """By name, what moves so many floats."""
  ring = [(i, (i + 1) % count) for i in range(count)]

  along, whole = PartitionSpec('data'), PartitionSpec()

  def moves(work: Callable, length: int, gives: PartitionSpec) -> Callable:
    x = jax.make_array_from_callback(
      (length,),
      NamedSharding(devices, along),
      lambda index: np.ones(length, np.float32)[index],
    )
    program = jax.jit(
      jax.shard_map(
        work, mesh=devices, in_specs=along, out_specs=gives, check_vma=False
      )
    )
    return lambda: program(x)

  return {
    'pass': moves(
      lambda x: jax.lax.ppermute(x, 'data', ring), count * size, along
    ),
    'sum': moves(lambda x: jax.lax.psum(x, 'data'), count * size, whole),
    'gather': moves(
      lambda x: jax.lax.all_gather(x, 'data', tiled=True), size, whole
    ),
  }


if __name__ == '__main__':
  main(sys.argv[1], *map(int, sys.argv[2:]))
