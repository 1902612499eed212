"""What a step consists of: ResNet18's passes and Adam, beside PyTorch's."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import optax
import torch
from torch.nn import functional as F

from benchmarks import images, networks, rates, timing, torch_steps
from benchmarks.result import Result


def run(quick: bool) -> Iterator[Result]:
  """Widths 16 and 64, batch 128, all of it compiled and called by itself."""
  batch = 8 if quick else 128
  for width, rounds in ((4, 2),) if quick else ((16, 9), (64, 3)):
    ours, theirs = _ours(width, batch), _theirs(width, batch)
    forward, size = _sizes(width, batch)
    floors = {
      'forward, eval mode': forward / rates.matrix(),
      'forward, train mode': forward / rates.matrix(),
      'forward and backward': 3 * forward / rates.matrix(),
      # The gradient is read; parameters and moments are read and written.
      'Adam': 28 * size / rates.copy(),
    }
    for part, floor in floors.items():
      first, second = timing.pairs(ours[part], theirs[part], rounds)
      name = f'step parts/width {width}, {part}'
      yield Result(name, first, 'PyTorch', second, floor=floor)


def _ours(width: int, batch: int) -> dict[str, Callable]:
  model, variables, _ = networks.pair(width)
  examples, tx = images.examples(batch, 1), optax.adam(1e-3)
  image, label, params = examples.image, examples.label, variables['params']

  @jax.jit
  def evaluated(variables, image):
    return model.apply(variables, image, False)[0]

  @jax.jit
  def trained(variables, image):
    return model.apply(variables, image, True)

  @jax.jit
  def backward(params, variables, image, label):
    def loss(params):
      logits, after = model.apply({**variables, 'params': params}, image, True)
      losses = optax.softmax_cross_entropy_with_integer_labels(logits, label)
      return losses.mean(), after

    return jax.grad(loss, has_aux=True)(params)

  @jax.jit
  def updated(gradient, state, params):
    updates, state = tx.update(gradient, state, params)
    return optax.apply_updates(params, updates), state

  gradient, _ = backward(params, variables, image, label)
  state = tx.init(params)
  return {
    'forward, eval mode': lambda: evaluated(variables, image),
    'forward, train mode': lambda: trained(variables, image),
    'forward and backward': lambda: backward(params, variables, image, label),
    'Adam': lambda: updated(gradient, state, params),
  }


def _theirs(width: int, batch: int) -> dict[str, Callable]:
  _, _, network = networks.pair(width)
  examples = images.examples(batch, 1)
  image = torch.from_numpy(jax.device_get(examples.image).copy())
  image = image.permute(0, 3, 1, 2)
  label = torch.tensor(examples.label.tolist())
  optimizer = torch_steps.adam(network, 1e-3)

  def forward(train: bool):
    with torch.no_grad():
      return network.train(train)(networks.floats(image)).sum().item()

  def backward():
    optimizer.zero_grad(set_to_none=True)
    loss = F.cross_entropy(network.train()(networks.floats(image)), label)
    loss.backward()
    return loss.item()

  backward()
  return {
    'forward, eval mode': lambda: forward(False),
    'forward, train mode': lambda: forward(True),
    'forward and backward': backward,
    'Adam': optimizer.step,
  }


def _sizes(width: int, batch: int) -> tuple[float, int]:
  """Operations of a forward pass, and parameters."""
  model, variables, _ = networks.pair(width)
  image = jax.ShapeDtypeStruct((batch, 32, 32, 3), jnp.uint8)
  forward = jax.jit(lambda v, x: model.apply(v, x, False)[0])
  costs = forward.lower(variables, image).cost_analysis()
  return costs['flops'], sum(
    x.size for x in jax.tree.leaves(variables['params'])
  )
