"""Virtual devices: python -m benchmarks.on_devices DATA MODEL WIDTH BATCH.

A training step of ResNet18 and a selection from its parameters, on DATA x MODEL
devices of one CPU. Prints an object of JSON: medians of seconds, bytes on the
first device, and bytes that collective operations give in one step.
"""

import json
import math
import re
import statistics
import sys
import time
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.images import examples
from jaxunlearn import machine, masks, mesh, models, objectives, train

_STEPS = 20
_COLLECTIVE = re.compile(r'= (.*?) (all-\w+|reduce-scatter|\S+permute)\(')
_ARRAY = re.compile(r'(pred|[a-z]+)(\d*)\[([\d,]*)\]')


def main(data: int, model: int, width: int, batch: int) -> None:
  """Measures it."""
  machine.keep_memory()
  jax.config.update('jax_num_cpu_devices', data * model)
  devices, tx = mesh.make(data, model), optax.adam(1e-3)
  network = mesh.gathered(devices, models.create('resnet18', 10, width=width))
  source = mesh.spread(devices, examples(batch, 0))
  key = jax.random.key(0)
  with mesh.within(devices):
    state = mesh.place(devices, train.begin(network, source, key, tx))
    params = state.variables['params']
    size = sum(x.size for x in jax.tree.leaves(params))
    how = {'num_steps': _STEPS + 2, 'batch_size': batch, 'tx': tx}
    steps = train.fit(network, source, key, state=state, **how)
    taken = _seconds(lambda: next(steps), _STEPS)
    compiled = _step(network, source, state, tx, batch)
    select = jax.jit(lambda x, k: masks.top_k(jax.tree.map(jnp.abs, x), k))
    k = jnp.int32(size // 20)
    selecting = select.lower(params, k).compile()
    selected = _seconds(lambda: select(params, k), 5)
  arrays = [x for x in jax.tree.leaves(state) if x.dtype == jnp.float32]
  found = {
    'parameters': size,
    'step_seconds': taken,
    'selection_seconds': selected,
    'state_bytes': sum(x.addressable_shards[0].data.nbytes for x in arrays),
    'step_temporary_bytes': compiled.memory_analysis().temp_size_in_bytes,
    'step_collective_bytes': collectives(compiled.as_text()),
    'selection_temporary_bytes': selecting.memory_analysis().temp_size_in_bytes,
  }
  print(json.dumps(found))


def _seconds(work, rounds: int) -> float:
  for _ in range(2):
    jax.block_until_ready(work())
  found = []
  for _ in range(rounds):
    start = time.perf_counter()
    jax.block_until_ready(work())
    found.append(time.perf_counter() - start)
  return statistics.median(found)


def _step(network, source, state, tx, batch):
  objective = objectives.weighted_sum({'train': {'cross_entropy': 1.0}})
  step = train.make_step(network, objective, tx, updates='train')
  batches = {'train': source.take(np.arange(batch))}
  return jax.jit(step).lower(state, batches, {}).compile()


def collectives(program: str) -> dict[str, int]:
  """Bytes that each kind of collective operation gives, of those written out.

  One within a loop is counted once.
  """
  found = Counter()
  for line in program.splitlines():
    match = _COLLECTIVE.search(line)
    if match:
      for kind, bits, shape in _ARRAY.findall(match[1]):
        size = math.prod(int(x) for x in shape.split(',') if x)
        found[match[2]] += size * (1 if kind == 'pred' else int(bits) // 8)
  return dict(found)


if __name__ == '__main__':
  main(*map(int, sys.argv[1:]))
