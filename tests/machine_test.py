"""The machine that a run is made on."""

import subprocess
import sys

import pytest

STEPS = """
import resource
import sys

from jaxunlearn import machine

if sys.argv[1] == 'kept':
  machine.keep_memory()

import jax
import jax.numpy as jnp

jax.config.update('jax_platforms', 'cpu')
# 64 MiB, which are freed as soon as they are there.
step = jax.jit(lambda x: jnp.tile(x, (1 << 14, 1)))
x, faults = jnp.ones(1 << 10), []
for _ in range(20):
  before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
  step(x).block_until_ready()
  faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sorted(faults)[10])
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='glibc is of Linux')
def test_what_a_step_frees_the_next_one_finds():
  freed, kept = (
    int(subprocess.check_output([sys.executable, '-c', STEPS, how]))
    for how in ('freed', 'kept')
  )
  assert kept < freed / 10
