"""One ResNet18, here and in PyTorch, with the same weights."""

import jax
import numpy as np
import torch

from benchmarks.images import CLASSES, examples
from jaxunlearn import models
from jaxunlearn.models import adapters
from jaxunlearn.types import Model, Variables
from tests.models import torch_networks


def pair(width: int) -> tuple[Model, Variables, torch.nn.Module]:
  """(model, variables, network), of which both sides say the same.

  Raises:
    AssertionError: they do not.
  """
  torch.manual_seed(0)
  network = torch_networks.ResNet18(CLASSES, width)
  model = models.create('resnet18', CLASSES, width=width)
  variables = adapters.from_torch_state_dict(network.state_dict(), model)
  image = examples(4, 0).image
  ours, _ = jax.jit(model.apply, static_argnums=2)(variables, image, False)
  stored = torch.from_numpy(np.array(image)).permute(0, 3, 1, 2)
  with torch.no_grad():
    theirs = network.eval()(floats(stored))
  np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)
  return model, variables, network.to(memory_format=torch.channels_last)


def floats(image: torch.Tensor) -> torch.Tensor:
  """uint8 [n, c, h, w] as PyTorch's networks take it, channels last."""
  image = image.to(torch.float32, memory_format=torch.channels_last)
  return image.div_(255)
