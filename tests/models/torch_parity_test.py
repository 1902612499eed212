"""Each network against its PyTorch original, on the same weights."""

import jax
import numpy as np
import optax
import pytest

from jaxunlearn import models
from jaxunlearn.models import adapters

torch = pytest.importorskip(
  'torch', reason='PyTorch is not installed: pip install -e ".[bench]"'
)

# Width, height, images, seed. ReLU and the maximum have kinks: one unit within
# rounding of its kink moves a gradient by a per cent, in PyTorch in float32
# against PyTorch in float64 too. Hence few and small images where a network
# takes them, and seeds at which no unit lies so near.
SETTINGS = {
  'resnet18': (4, 32, 4, 5),
  'vgg19': (4, 32, 4, 0),
  'googlenet': (8, 8, 8, 16),
  'densenet121': (4, 16, 4, 5),
}
TOLERANCE = 1e-4
# The same sums, compiled in two thirds of the time.
QUICK = {
  'xla_backend_optimization_level': 0,
  'xla_llvm_disable_expensive_passes': True,
}


def original(name):
  """The PyTorch network, images and labels, all drawn by NumPy."""
  from tests.models import torch_networks

  width, size, count, seed = SETTINGS[name]
  rng = np.random.default_rng(seed)
  network = torch_networks.NETWORKS[name](10, width)
  norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
  for module in network.modules():
    for kind, weight in module.named_parameters(recurse=False):
      if not isinstance(module, torch.nn.BatchNorm2d):
        bound = module.weight[0].numel() ** -0.5
        value = rng.uniform(-bound, bound, weight.shape)
      elif kind == 'weight':
        value = rng.uniform(0.5, 1.5, weight.shape)
      else:
        value = rng.normal(0, 0.3, weight.shape)
      weight.data = torch.tensor(value, dtype=torch.float32)
  image, others = (
    rng.uniform(size=(n, size, size, 3)).astype(np.float32) for n in (count, 8)
  )
  # Statistics as of other images.
  for norm in norms:
    norm.momentum = 1.0
  with torch.no_grad():
    network.train()(channels_first(others))
    for norm in norms:
      norm.momentum = 0.1
      shift = rng.normal(0, 0.3, norm.bias.shape)
      norm.running_mean += torch.tensor(shift) * norm.running_var.sqrt()
      norm.running_var *= torch.tensor(rng.uniform(0.7, 1.4, norm.bias.shape))
  return network, image, rng.integers(0, 10, count)


def channels_first(image):
  return torch.tensor(image.transpose(0, 3, 1, 2))


def theirs(network, image, label, train):
  """Logits, and the gradient of the mean cross entropy by name."""
  network.train(train).zero_grad()
  logits = network(channels_first(image))
  target = torch.tensor(label)
  torch.nn.functional.cross_entropy(logits, target).backward()
  gradient = {name: w.grad for name, w in network.named_parameters()}
  return logits.detach().numpy(), gradient


def ours(model, variables, image, label, train):
  """Logits, the gradient and the variables after the pass."""

  def loss(params, variables, image):
    logits, after = model.apply({**variables, 'params': params}, image, train)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    return losses.mean(), (logits, after)

  # All that a network computes with is an argument: XLA folds constants in
  # other bits than it computes in.
  gradient = jax.jit(
    jax.grad(loss, has_aux=True), compiler_options=QUICK if train else None
  )
  gradient, (logits, after) = gradient(variables['params'], variables, image)
  return logits, gradient, after


def error(found, expected, scale=None):
  """Relative, by norm: single entries of a leaf cross 0."""
  found, expected = np.asarray(found), np.asarray(expected)
  scale = np.linalg.norm(expected) if scale is None else scale
  return np.linalg.norm(found - expected) / max(scale, 1e-30)


def check(found, expected, idle=()):
  """Every leaf; those of `idle` modules' biases by the norm of all leaves."""
  whole = float(optax.tree.norm(expected))
  leaves = jax.tree.leaves_with_path(expected)
  for (path, wanted), leaf in zip(leaves, jax.tree.leaves(found), strict=True):
    *module, name = (entry.key for entry in path)
    scale = whole if name == 'bias' and tuple(module) in idle else None
    assert error(leaf, wanted, scale) < TOLERANCE, '/'.join([*module, name])


@pytest.mark.parametrize('name', SETTINGS)
def test_eval_mode_is_that_of_pytorch(name, bits):
  network, image, label = original(name)
  model = models.create(name, 10, width=SETTINGS[name][0])
  state = network.state_dict()
  variables = adapters.from_torch_state_dict(state, model)
  expected, gradient = theirs(network, image, label, train=False)
  logits, found, after = ours(model, variables, image, label, train=False)
  assert error(logits, expected) < TOLERANCE
  assert np.std(expected, axis=0).min() > 0.01
  gradient = adapters.from_torch_state_dict({**state, **gradient}, model)
  check(found, gradient['params'])
  jax.tree.map(
    np.testing.assert_array_equal, bits(after), bits(dict(variables))
  )
  # A program without a gradient, such as a teacher's, gives the same bits.
  alone = jax.jit(lambda v, x: model.apply(v, x, False)[0])(variables, image)
  np.testing.assert_array_equal(bits(logits), bits(alone))


@pytest.mark.parametrize('name', SETTINGS)
def test_train_mode_is_that_of_pytorch(name):
  network, image, label = original(name)
  model = models.create(name, 10, width=SETTINGS[name][0])
  variables = adapters.from_torch_state_dict(network.state_dict(), model)
  expected, gradient = theirs(network, image, label, train=True)
  logits, found, after = ours(model, variables, image, label, train=True)
  assert error(logits, expected) < TOLERANCE
  gradient = adapters.from_torch_state_dict(
    {**network.state_dict(), **gradient}, model
  )
  # The norm takes away what the bias of a convolution adds, so its gradient is
  # 0 but for rounding, which has no relative error.
  idle = {
    path[:-1]
    for path, leaf in by_path(found).items()
    if path[-1] == 'kernel' and leaf.ndim == 4
  }
  check(found, gradient['params'], idle)
  # state_dict() holds the statistics after the pass.
  check(after['batch_stats'], gradient['batch_stats'])
  moved = jax.tree.map(
    lambda x, y: error(x, y), after['batch_stats'], variables['batch_stats']
  )
  assert min(jax.tree.leaves(moved)) > 10 * TOLERANCE


def by_path(tree):
  return {
    tuple(entry.key for entry in path): leaf
    for path, leaf in jax.tree.leaves_with_path(tree)
  }
