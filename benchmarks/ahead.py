"""What XLA makes for an H200 that is not here: python -m benchmarks.ahead FILE.

Compiles, runs nothing, and writes to FILE how many kernels a program starts and
how long compiling took. It wants a CUDA plugin, but neither a card nor a
driver; without a card XLA does not tune convolutions:

    pip install --no-deps --target DIR jax-cuda12-plugin==0.10.2 \
        jax-cuda12-pjrt==0.10.2 nvidia-cuda-nvcc-cu12==12.9.86
    export PYTHONPATH=DIR JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1
    export XLA_FLAGS="--xla_gpu_autotune_level=0 \
        --xla_gpu_cuda_data_dir=DIR/nvidia/cuda_nvcc"
"""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
from jax.experimental import topologies

from benchmarks import images
from jaxunlearn import Task, machine, masks, method, models, recipes

# An H100's as XLA prints it, with an H200's memory.
_H200 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472 threads_per_core_limit: 2048
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535
  block_dim_limit_z: 65535 registers_per_core_limit: 65536
  registers_per_block_limit: 65536 l2_cache_size: 62914560
  memory_bandwidth: 4800000000000 device_memory_size: 149929347584
  cuda_compute_capability { major: 9 }
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 }
runtime_version { major: 12 minor: 9 patch: 0 }
device_description_str: "NVIDIA H200"
"""

# What XLA starts a kernel, or a copy, for.
_KERNELS = ('fusion', 'custom-call', 'copy', 'sort', 'reduce', 'scatter')


def main(file: str) -> None:
  """Compiles each program, and writes what it is made of."""
  place = jax.sharding.NamedSharding(
    topologies.make_mesh(
      topologies.get_topology_desc(
        platform='cuda', target_config=_H200, topology='1x1x1'
      ),
      (1,),
      ('device',),
    ),
    jax.P(),
  )
  record = {
    'command': f'python -m benchmarks.ahead {file}',
    'machine': machine.environment(),
    'programs': {},
  }
  with (
    mock.patch.object(jax, 'default_backend', lambda: 'gpu'),
    mock.patch.object(jax, 'device_count', lambda: 1),
  ):
    for name, (program, arrays) in _programs().items():
      like = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), arrays
      )
      lowered = jax.jit(program).lower(*like)
      start = time.perf_counter()
      compiled = lowered.compile()
      record['programs'][name] = {
        **kernels(compiled.as_text()),
        'compile_seconds': time.perf_counter() - start,
        'temporary_bytes': compiled.memory_analysis().temp_size_in_bytes,
      }
      print(name, record['programs'][name], flush=True)
  Path(file).write_text(json.dumps(record, indent=2) + '\n')


def _programs() -> dict[str, tuple]:
  """{name: (function, its arguments)}."""
  model = models.create('resnet18', images.CLASSES, width=64, dtype='bfloat16')
  key, source = jax.random.key(0), images.examples(5_000, 0)
  variables = model.init(key, source.image[:1])
  top_k = recipes.top_k(45, 'scalars')

  def masked(gradient, k):
    return masks.top_k(jax.tree.map(jnp.abs, gradient), k)

  def selected(key, variables, forget, retain):
    return method.select(top_k, Task(model, variables, forget, retain), key)

  return {
    'masks of 62 gradients': (masked, (variables['params'], jnp.int32(45))),
    'selection by gradients': (selected, (key, variables, source, source)),
  }


def kernels(program: str) -> dict[str, Any]:
  """How many a program starts, by its text after optimization.

  Args:
    program: HLO.

  Returns:
    `outside`: of loops, where of two branches the shorter is taken; `loops`:
    in a turn of each loop outside of branches, with what ends it; `in_all`: in
    the whole text.
  """
  parts = {
    name: (bool(entry), text)
    for entry, name, text in re.findall(
      r'^(ENTRY )?%([\w.\-]+) [^\n]*\{\n(.*?)^\}', program, re.S | re.M
    )
  }

  def started(name: str) -> int:
    _, text = parts[name]
    return len(re.findall(rf' (?:{"|".join(_KERNELS)})\(', text))

  (entry,) = (name for name, (first, _) in parts.items() if first)
  _, text = parts[entry]
  pair = r'%([\w.\-]+), \w+=%([\w.\-]+)'
  branches = re.findall(r' conditional\(.*?true_computation=' + pair, text)
  loops = re.findall(r' while\(.*?condition=' + pair, text)
  if len(branches) + len(loops) < len(
    re.findall(r' (conditional|while)\(', text)
  ):
    raise ValueError('a branch or a loop that is written in another way.')
  fused = set(re.findall(r'(?:calls|to_apply)=%([\w.\-]+)', program))
  return {
    'outside': started(entry)
    + sum(min(map(started, names)) for names in branches),
    'loops': [sum(map(started, names)) for names in loops],
    'in_all': sum(started(name) for name in parts if name not in fused),
  }


if __name__ == '__main__':
  if len(sys.argv) != 2:
    print('Name the file to write: python -m benchmarks.ahead FILE.')
    sys.exit(2)
  main(sys.argv[1])
