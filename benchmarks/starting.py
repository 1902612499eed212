"""Starting: the import, --help, and the first step of a process."""

import tempfile
from collections.abc import Iterator

from benchmarks import processes
from benchmarks.result import Result

_FIRST_STEP = """
import jax, optax
from benchmarks import images
from jaxunlearn import models, train
source = images.examples({batch}, 0)
model = models.create('resnet18', 10, width={width})
steps = train.fit(model, source, jax.random.key(0), num_steps=1,
                  batch_size={batch}, tx=optax.adam(1e-3))
jax.block_until_ready(next(steps))
"""
_TORCH_FIRST_STEP = """
import torch
from benchmarks import torch_steps
from tests.models import torch_networks
network = torch_networks.ResNet18(10, {width})
network = network.to(memory_format=torch.channels_last)
image = torch.rand({batch}, 3, 32, 32)
image = image.contiguous(memory_format=torch.channels_last)
label = torch.randint(10, ({batch},))
torch_steps.training(network, torch_steps.adam(network, 1e-3))(image, label)
"""


def run(quick: bool) -> Iterator[Result]:
  """Seconds of whole processes, against what each may take."""
  rounds = 1 if quick else 5
  # Once each, for what the system then has in memory.
  _seconds('jax'), _seconds('jaxunlearn')
  added = []
  for number in range(rounds):
    names = ('jax', 'jaxunlearn')[:: (1, -1)[number % 2]]
    found = {name: _seconds(name) for name in names}
    added.append(found['jaxunlearn'] - found['jax'])
  yield _allowed('starting/import, beyond import jax', added, 0.3)
  helped = [
    processes.run('-m', 'jaxunlearn.launch', '--help').seconds
    for _ in range(rounds)
  ]
  yield _allowed('starting/--help', helped, 3.0)
  yield from _first_step(quick)


def _first_step(quick: bool) -> Iterator[Result]:
  size = {'width': 4, 'batch': 8} if quick else {'width': 16, 'batch': 128}
  cold, warm, torch = [], [], []
  for _ in range(1 if quick else 2):
    with tempfile.TemporaryDirectory() as folder:
      kept = {
        'JAX_COMPILATION_CACHE_DIR': folder,
        'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
      }
      script = _FIRST_STEP.format(**size)
      cold.append(processes.run('-c', script, **kept).seconds)
      warm.append(processes.run('-c', script, **kept).seconds)
    script = _TORCH_FIRST_STEP.format(**size)
    torch.append(processes.run('-c', script).seconds)
  for word, found in (('nothing kept', cold), ('compiled before', warm)):
    yield Result(
      f'starting/first step, {word}', tuple(found), 'PyTorch', tuple(torch)
    )


def _seconds(module: str) -> float:
  return processes.run('-c', f'import {module}').seconds


def _allowed(name: str, found: list[float], most: float) -> Result:
  return Result(name, tuple(found), 'allowed', (most,) * len(found), target=1.0)
