"""On one GPU: steps of ResNet18 at full size, beside PyTorch's.

Both sides hold the images on the device as uint8, compute in bfloat16 where
that is said, with float32 parameters, and take the same number of steps. Ours
takes 32 in a call. Wants XLA_PYTHON_CLIENT_PREALLOCATE=false, so that PyTorch
has memory too.
"""

import statistics
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import optax
import torch
from torch.nn import functional as F

from benchmarks import images, kernels, rates, timing, torch_steps
from benchmarks.result import Result
from jaxunlearn import Task, method, models, recipes, train
from tests.models import torch_networks

_FORGET = 5_000
# XLA calls of ours in a round, of an epoch that has no more steps than theirs.
_CALLS = 3
_JS_WEIGHT = 0.1


def run(quick: bool) -> Iterator[Result]:
  """Steps by dtype, batch and what PyTorch's are."""
  cases = (
    ('bfloat16', 128, 0.0, ('torch.compile', 'reduce-overhead')),
    ('bfloat16', 128, _JS_WEIGHT, ('torch.compile', 'reduce-overhead')),
    ('bfloat16', 512, 0.0, ('torch.compile',)),
    ('float32', 128, 0.0, ('PyTorch',)),
  )
  for case in cases[:1] if quick else cases:
    yield from _steps(*case, quick)


def _steps(
  dtype: str, batch: int, js_weight: float, against: tuple, quick: bool
) -> Iterator[Result]:
  width, batch = (4, batch // 8) if quick else (64, batch)
  count = _CALLS * train.steps_per_call(32, resident=True)
  retain = images.examples(count * batch, 1)
  forget = images.examples(_FORGET // (10 if quick else 1), 2)
  ours = _ours(dtype, width, batch, js_weight, retain, forget)
  terms = 'cross entropy + JS' if js_weight else 'cross entropy'
  operations = _operations(width, batch) * count * (2 if js_weight else 1)
  name = f'{count} steps/{dtype}, batch {batch}, {terms}'
  for other in against:
    theirs = _theirs(
      dtype, width, batch, js_weight, retain, forget, count, other
    )
    first, second = timing.pairs(ours, theirs, 5)
    ideal = operations / rates.matrix(dtype)
    usual = statistics.median(first)
    yield Result(
      name,
      first,
      other,
      second,
      target=1.0,
      floor=ideal,
      note=f'{count * batch / usual:.0f} images/s of retain, '
      f'{100 * ideal / usual:.0f} % of the matrix rate, '
      f'at most {_peak() / 1e9:.2f} GB so far',
    )
  yield from kernels.run(name, ours, count)


def _ours(
  dtype, width: int, batch: int, js_weight: float, retain, forget
) -> Callable:
  model = models.create('resnet18', images.CLASSES, width=width, dtype=dtype)
  key, how = jax.random.key(0), {'num_steps': 2**30, 'batch_size': batch}
  if not js_weight:
    steps = train.fit(model, retain, key, tx=optax.adam(1e-3), **how)
  else:
    variables = model.init(key, retain.image[:1])
    task, own = Task(model, variables, forget, retain), recipes.finetune(0.1)
    found = method.select(own, task, key)
    state = method.begin(own, task, variables['params'], found, key)
    steps = method.fine_tune(own, task, state, key, **how)
  return lambda: [next(steps) for _ in range(_CALLS)][-1]


def _theirs(
  dtype,
  width: int,
  batch: int,
  js_weight: float,
  retain,
  forget,
  count: int,
  how: str,
) -> Callable:
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  torch.backends.cudnn.benchmark = True
  torch.set_float32_matmul_precision('high')
  torch.backends.cudnn.allow_tf32 = True
  network = torch_networks.ResNet18(images.CLASSES, width).to(device)
  network = network.to(memory_format=torch.channels_last).train()
  optimizer = torch_steps.adam(network, 1e-3)
  run = network
  if how != 'PyTorch':
    mode = how if how == 'reduce-overhead' else None
    run = torch.compile(network, mode=mode, dynamic=False)
  image, forgotten = (_stored(x, device) for x in (retain, forget))
  label = torch.tensor(retain.label.tolist(), device=device)
  teacher = torch.randn(len(forgotten), images.CLASSES, device=device)

  def say(image):
    # float32 before autocast takes over, channels last.
    wide = image.to(torch.float32, memory_format=torch.channels_last) / 255
    narrow = dtype == 'bfloat16'
    with torch.autocast(device, torch.bfloat16, enabled=narrow):
      return run(wide).float()

  def work():
    order = torch.randperm(len(label), device=device)
    others = torch.randint(len(forgotten), (count, batch), device=device)
    for number in range(count):
      torch.compiler.cudagraph_mark_step_begin()
      chosen = order[number * batch : (number + 1) * batch]
      optimizer.zero_grad(set_to_none=True)
      if js_weight:
        other = others[number]
        network.eval()
        term = torch_steps.js_divergence(say(forgotten[other]), teacher[other])
        # Before the pass in train mode moves the statistics.
        (js_weight * term.mean()).backward()
        network.train()
      loss = F.cross_entropy(say(image[chosen]), label[chosen])
      loss.backward()
      optimizer.step()
    return loss.item()

  return work


def _stored(source, device: str) -> torch.Tensor:
  """uint8, channels last."""
  stored = torch.from_numpy(jax.device_get(source.image).copy())
  return stored.permute(0, 3, 1, 2).to(device)


def _operations(width: int, batch: int) -> float:
  """Of a step, a backward pass being two forward."""
  model = models.create('resnet18', images.CLASSES, width=width)
  image = jax.ShapeDtypeStruct((batch, 32, 32, 3), jnp.uint8)
  variables = jax.eval_shape(model.init, jax.random.key(0), image)
  forward = jax.jit(lambda v, x: model.apply(v, x, False)[0])
  # A GPU's client does not say.
  with jax.default_device(jax.devices('cpu')[0]):
    costs = forward.lower(variables, image).cost_analysis()
  return 3 * costs['flops']


def _peak() -> int:
  """Bytes of the device that JAX has had at most, in this process."""
  found = jax.devices()[0].memory_stats() or {}
  return found.get('peak_bytes_in_use', 0)
