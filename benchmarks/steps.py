"""Steps of training and of fine-tuning: ResNet18 beside PyTorch's."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import torch

from benchmarks import (
  images,
  networks,
  processes,
  rates,
  timing,
  torch_steps,
)
from benchmarks.result import Result
from jaxunlearn import Task, method, models, recipes
from jaxunlearn.types import Resident

_JS_WEIGHT = 0.1
# So many batches of each split; an epoch is as many steps.
_BATCHES = 16


def run(quick: bool) -> Iterator[Result]:
  """Widths 16 and 64, batch 128, with the JS term on as many and without.

  torch.compile takes a minute and more for each, and so has one case a width.
  """
  batch = 8 if quick else 128
  for width, rounds in ((4, 2),) if quick else ((16, 7), (64, 3)):
    for js_weight in (0.0, _JS_WEIGHT):
      yield _step(width, js_weight, False, batch, rounds)
  for width in (4,) if quick else (16, 64):
    yield _step(width, 0.0, True, batch, 2 if quick else 3)
  yield _memory(quick)


def _step(
  width: int, js_weight: float, compiled: bool, batch: int, rounds: int
) -> Result:
  terms = 'cross entropy + JS' if js_weight else 'cross entropy'
  work = sides(width, batch, js_weight, compiled)
  ours, theirs = timing.pairs(*work, rounds)
  return Result(
    f'step/width {width}, {terms}',
    ours,
    'torch.compile' if compiled else 'PyTorch',
    theirs,
    target=1.3,
    floor=_floor(width, batch, passes=2 if js_weight else 1),
  )


def sides(
  width: int, batch: int, js_weight: float, compiled: bool
) -> tuple[Callable, Callable]:
  """Two that take a step a call: ours, (state, metrics), and theirs, a loss.

  Both take their batches from images in memory, uint8, and make them float.

  Args:
    width: of the network.
    batch: examples of retain, and of forget where there is a JS term.
    js_weight: 0 leaves the term out.
    compiled: whether theirs is compiled.
  """
  model, variables, network = networks.pair(width)
  retain, forget = (images.examples(_BATCHES * batch, seed) for seed in (1, 2))
  task = Task(model, variables, forget, retain)
  key, own = jax.random.key(0), recipes.finetune(js_weight)
  return (
    _ours(own, task, key, batch),
    _theirs(own, task, key, batch, network, js_weight, compiled),
  )


def _ours(own, task: Task, key: jax.Array, batch: int) -> Callable:
  """What `unlearn` does after it perturbed, one step a call."""
  selection = method.select(own, task, key)
  state = method.begin(own, task, task.original['params'], selection, key)
  steps = method.fine_tune(
    own, task, state, key, num_steps=2**30, batch_size=batch
  )
  return lambda: next(steps)


def _theirs(
  own, task: Task, key, batch: int, network, js_weight: float, compiled: bool
) -> Callable:
  """The same steps on the same batches, in the order that ours take them."""
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  network = network.to(device)
  image, forgotten = (_stored(x, device) for x in (task.retain, task.forget))
  label = torch.tensor(task.retain.label.tolist(), device=device)
  with torch.no_grad():
    parts = forgotten.split(batch)
    teacher = torch.cat([network.eval()(networks.floats(x)) for x in parts])
  network.train()
  run = torch.compile(network) if compiled else network
  optimizer = torch_steps.adam(network, 1e-3)
  if js_weight:
    step = torch_steps.fine_tuning(run, optimizer, js_weight)
  else:
    step = torch_steps.training(run, optimizer)
  order = _positions(own, task, key, batch)

  def work():
    now = next(order)
    arguments = networks.floats(image[now['retain']]), label[now['retain']]
    if js_weight:
      chosen = now['forget']
      arguments += networks.floats(forgotten[chosen]), teacher[chosen]
    return step(*arguments).item()

  return work


def _positions(own, task: Task, key: jax.Array, batch: int) -> Iterator[dict]:
  """Which examples ours take, step by step."""
  from jaxunlearn import objectives
  from jaxunlearn.data import batches

  objective = objectives.weighted_sum(own.objective)
  sources = objectives.read(objective, task)
  sizes = {split: len(source) for split, source in sources.items()}
  key_order, _ = jax.random.split(key)
  number = 0
  while True:
    epoch = batches.schedule(key_order, number, sizes, batch)
    for step in range(_BATCHES):
      yield {
        k: torch.from_numpy(v[step].astype('int64')) for k, v in epoch.items()
      }
    number += 1


def _stored(source: Resident, device: str) -> torch.Tensor:
  """uint8, channels last."""
  stored = torch.from_numpy(jax.device_get(source.image).copy())
  return stored.permute(0, 3, 1, 2).to(device)


def _floor(width: int, batch: int, passes: int) -> float:
  """Operations, a backward pass being two forward, or bytes that must move.

  The bytes: parameters and both moments of Adam, read and written.
  """
  model = models.create('resnet18', images.CLASSES, width=width)
  image = jax.ShapeDtypeStruct((batch, 32, 32, 3), jnp.uint8)
  variables = jax.eval_shape(model.init, jax.random.key(0), image)
  forward = jax.jit(lambda v, x: model.apply(v, x, False)[0])
  costs = forward.lower(variables, image).cost_analysis()
  size = sum(x.size for x in jax.tree.leaves(variables['params']))
  operations = 3 * passes * costs['flops'] / rates.matrix()
  return max(operations, 24 * size / rates.copy())


def _memory(quick: bool) -> Result:
  """The memory that three steps add to a process, with the JS term."""
  size = 'quick' if quick else 'full'
  ours, theirs = (
    float(processes.run('-m', 'benchmarks.alone', 'steps', side, size).said)
    for side in ('ours', 'theirs')
  )
  return Result(
    'step/memory that it adds, compiling included',
    (ours,),
    'PyTorch',
    (max(theirs, 1.0),),
    unit='bytes',
  )
