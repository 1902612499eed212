"""Steps of training and of fine-tuning: ResNet18 beside PyTorch's."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import torch

from benchmarks import images, networks, rates, timing, torch_steps
from benchmarks.result import Result
from jaxunlearn import Task, method, models, recipes
from jaxunlearn.types import Resident

_JS_WEIGHT = 0.1


def run(quick: bool) -> Iterator[Result]:
  """Widths 16 and 64, batch 128, with the JS term on as many and without.

  torch.compile takes a minute and more for each, and so has one case.
  """
  batch = 8 if quick else 128
  for width, rounds in ((4, 2),) if quick else ((16, 9), (64, 5)):
    for js_weight in (0.0, _JS_WEIGHT):
      yield _step(width, js_weight, False, batch, rounds)
  yield _step(width, 0.0, True, batch, rounds)


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
    floor=_operations(width, batch, passes=2 if js_weight else 1)
    / rates.matrix(),
  )


def sides(
  width: int, batch: int, js_weight: float, compiled: bool
) -> tuple[Callable, Callable]:
  """Two that take a step a call: ours, (state, metrics), and theirs, a loss.

  Args:
    width: of the network.
    batch: examples of retain, and of forget where there is a JS term.
    js_weight: 0 leaves the term out.
    compiled: whether theirs is compiled.
  """
  model, variables, network = networks.pair(width)
  retain, forget = (images.examples(batch, seed) for seed in (1, 2))
  task = Task(model, variables, forget, retain)
  return (
    _ours(task, js_weight, batch),
    _theirs(network, retain, forget, js_weight, compiled),
  )


def _ours(task: Task, js_weight: float, batch: int) -> Callable:
  """What `unlearn` does after it perturbed, one step a call."""
  own = recipes.finetune(js_weight)
  key = jax.random.key(0)
  selection = method.select(own, task, key)
  state = method.begin(own, task, task.original['params'], selection, key)
  # As many retained examples as a batch: an epoch is one step anywhere.
  steps = method.fine_tune(
    own, task, state, key, num_steps=2**30, batch_size=batch
  )
  return lambda: next(steps)


def _theirs(
  network, retain: Resident, forget: Resident, js_weight, compiled: bool
) -> Callable:
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  network = network.to(device)
  image, forgotten = (
    networks.pixels(x.image).to(device, memory_format=torch.channels_last)
    for x in (retain, forget)
  )
  label = torch.tensor(retain.label.tolist(), device=device)
  with torch.no_grad():
    teacher = network.eval()(forgotten)
  network.train()
  run = torch.compile(network) if compiled else network
  optimizer = torch_steps.adam(network, 1e-3)
  if js_weight:
    step = torch_steps.fine_tuning(run, optimizer, js_weight)
    arguments = image, label, forgotten, teacher
  else:
    step = torch_steps.training(run, optimizer)
    arguments = image, label

  def work():
    loss = step(*arguments)
    return loss.item()

  return work


def _operations(width: int, batch: int, passes: int) -> float:
  """Of forward and backward passes, which are two forward ones more."""
  model = models.create('resnet18', images.CLASSES, width=width)
  image = jax.ShapeDtypeStruct((batch, 32, 32, 3), jnp.uint8)
  variables = jax.eval_shape(model.init, jax.random.key(0), image)
  forward = jax.jit(lambda v, x: model.apply(v, x, False)[0])
  costs = forward.lower(variables, image).cost_analysis()
  return 3 * passes * costs['flops']
