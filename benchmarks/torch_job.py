"""The whole job in PyTorch: python -m benchmarks.torch_job SIZE FILE OUT.

Trains, retrains, selects, perturbs, fine-tunes and compares, as the config of
that size does; says after each epoch what the retrained and the unlearned get
right, keeps each model, and writes what they get right as JSON.
"""

import copy
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks import job_config, torch_steps
from tests.models import torch_networks

_EVALUATED = 128


def main(size: str, file: str, out: str) -> None:
  """Runs the job."""
  config = job_config.get_config(f'{size},{file}')
  torch.manual_seed(0)
  with np.load(file) as arrays:
    train = _tensors(arrays, 'train', config.data.num_train)
    test = _tensors(arrays, 'test', None)
  order = torch.randperm(len(train[1]))
  cut = int(len(order) * config.forget.fraction)
  forget, retain = (
    tuple(x[part] for x in train) for part in (order[:cut], order[cut:])
  )
  splits = {'forget': forget, 'retain': retain, 'test': test}
  watched = {'forget': forget, 'retain': retain}
  original = _fit(train, config)
  models = {'original': original, 'retrained': _fit(retain, config, watched)}
  for name, row in config.recipes.items():
    models[name] = _unlearn(original, watched, config, row)
  found = {}
  for name, model in models.items():
    answers = {k: _logits(model, v[0]) for k, v in splits.items()}
    torch.save(model.state_dict(), Path(out).with_name(f'{name}.pt'))
    found[name] = {k: _accuracy(answers[k], v[1]) for k, v in splits.items()}
    if name == 'retrained':
      reference = answers['forget']
    if name != 'original':
      js = torch_steps.js_divergence(answers['forget'], reference).mean()
      found[name]['similarity'] = 1 - js.item() / math.log(2)
  Path(out).write_text(json.dumps(found, indent=2))


def _tensors(arrays, part: str, count: int | None):
  image = torch.from_numpy(arrays[f'x_{part}'][:count]).permute(0, 3, 1, 2)
  return image, torch.from_numpy(arrays[f'y_{part}'][:count]).long()


def _pixels(image: torch.Tensor) -> torch.Tensor:
  image = image.to(torch.float32) / 255 - 0.5
  return image.contiguous(memory_format=torch.channels_last)


def _accuracy(logits: torch.Tensor, label: torch.Tensor) -> float:
  return (logits.argmax(-1) == label).float().mean().item()


def _watch(network, watched) -> None:
  for image, label in watched.values():
    _accuracy(_logits(network, image), label)
  network.train()


def _fit(data, config, watched=None) -> torch.nn.Module:
  network = torch_networks.ResNet18(10, config.model.width)
  network = network.to(memory_format=torch.channels_last)
  size, epochs = config.train.batch_size, config.train.epochs
  steps = len(data[1]) // size
  optimizer = torch_steps.adam(network, config.train.learning_rate)
  schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
    optimizer, steps * epochs
  )
  step = torch_steps.training(network.train(), optimizer)
  for _ in range(epochs):
    order = torch.randperm(len(data[1]))
    for number in range(steps):
      chosen = order[number * size : (number + 1) * size]
      step(_pixels(data[0][chosen]), data[1][chosen])
      schedule.step()
    _watch(network, watched or {})
  return network


def _unlearn(original, watched, config, row) -> torch.nn.Module:
  network, (forget, retain) = copy.deepcopy(original), watched.values()
  mask = _select(network, forget, retain, row)
  with torch.no_grad():
    for weight, chosen in zip(network.parameters(), mask, strict=True):
      weight.mul_(1 + row.get('factor', 0.0) * chosen)
  size = config.unlearn.batch_size
  teacher = _logits(original, forget[0]) if row.js_weight else None
  optimizer = torch_steps.adam(network, config.unlearn.learning_rate)
  step = torch_steps.fine_tuning(network, optimizer, row.js_weight)
  plain = torch_steps.training(network, optimizer)
  for _ in range(config.unlearn.epochs):
    order = torch.randperm(len(retain[1]))
    for number in range(len(order) // size):
      chosen = order[number * size : (number + 1) * size]
      batch = _pixels(retain[0][chosen]), retain[1][chosen]
      if row.js_weight:
        other = torch.randint(len(forget[1]), (min(size, len(forget[1])),))
        step(*batch, _pixels(forget[0][other]), teacher[other])
      else:
        network.train()
        plain(*batch)
    _watch(network, watched)
  return network


def _select(network, forget, retain, row) -> list[torch.Tensor]:
  """Masks that broadcast to the parameters, in their order."""
  weights = list(network.parameters())
  if row.name == 'finetune':
    return [torch.zeros(()) for _ in weights]
  if row.name == 'random_k':
    return [torch.bernoulli(torch.full_like(w, row.fraction)) for w in weights]
  scores = _sensitivity(network, forget, retain)
  if row.get('over') == 'leaves':
    norms = torch.stack([score.norm() for score in scores])
    chosen = torch.zeros(len(norms))
    chosen[norms.topk(min(row.k, len(norms))).indices] = 1
    return list(chosen)
  flat = torch.cat([score.flatten() for score in scores])
  k = row.get('k', round(row.get('fraction', 0.0) * len(flat)))
  chosen = torch.zeros_like(flat)
  chosen[flat.topk(k, sorted=False).indices] = 1
  parts = chosen.split([score.numel() for score in scores])
  return [m.view(s.shape) for m, s in zip(parts, scores, strict=True)]


def _sensitivity(network, forget, retain) -> list[torch.Tensor]:
  """|gradient| of the mean loss of 128 examples, in eval mode."""
  image, label = (torch.cat(pair) for pair in zip(forget, retain, strict=True))
  chosen = torch.randperm(len(label))[:128]
  loss = F.cross_entropy(network.eval()(_pixels(image[chosen])), label[chosen])
  return [g.abs() for g in torch.autograd.grad(loss, network.parameters())]


def _logits(network, image: torch.Tensor) -> torch.Tensor:
  with torch.inference_mode():
    parts = image.split(_EVALUATED)
    found = torch.cat([network.eval()(_pixels(x)) for x in parts])
  return found.clone()


if __name__ == '__main__':
  main(*sys.argv[1:])
