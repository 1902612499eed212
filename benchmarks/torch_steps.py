"""Steps in PyTorch, as one who knows it would write them."""

from collections.abc import Callable

import torch
from torch.nn import functional as F


def js_divergence(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
  """JS of two distributions given as logits, in nats, [batch]."""
  p, q = F.log_softmax(p, -1), F.log_softmax(q, -1)
  m = torch.logaddexp(p, q) - torch.log(torch.tensor(2.0))
  return ((p.exp() * (p - m)).sum(-1) + (q.exp() * (q - m)).sum(-1)) / 2


def adam(network: torch.nn.Module, rate: float) -> torch.optim.Optimizer:
  """Adam with all parameters in one pass, where PyTorch has that."""
  return torch.optim.Adam(network.parameters(), rate, fused=True)


def training(network, optimizer) -> Callable[..., torch.Tensor]:
  """(image, label) -> loss: forward in train mode, backward, update."""

  def step(image, label):
    optimizer.zero_grad(set_to_none=True)
    loss = F.cross_entropy(network(image), label)
    loss.backward()
    optimizer.step()
    return loss.detach()

  return step


def fine_tuning(
  network, optimizer, js_weight: float
) -> Callable[..., torch.Tensor]:
  """(image, label, forgotten, teacher) -> loss: cross entropy and JS.

  Retain in train mode, forget in eval mode; `teacher` is what the original
  says of the forgotten images, computed once.
  """

  def step(image, label, forgotten, teacher):
    optimizer.zero_grad(set_to_none=True)
    # First, because the pass in train mode moves the statistics.
    term = js_divergence(network.eval()(forgotten), teacher).mean()
    loss = F.cross_entropy(network.train()(image), label) + js_weight * term
    loss.backward()
    optimizer.step()
    return loss.detach()

  return step
