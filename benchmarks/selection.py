"""Exact Top-K masks, from a tree of gradients to a tree of masks."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks import processes, rates, timing
from benchmarks.result import Result
from jaxunlearn import masks, models


def run(quick: bool) -> Iterator[Result]:
  """ResNet18's leaves at widths 64 and 192: 11 and 101 million scalars."""
  taken = {}
  for width, rounds in ((4, 2), (8, 2)) if quick else ((64, 7), (192, 3)):
    gradient = gradient_of(width)
    size = sum(x.size for x in gradient.values())
    for share, k in (('45', 45), ('5 %', round(0.05 * size))):
      name = f'selection/{size / 1e6:.3g} M, k = {share}'
      ours, note = ours_on(gradient, k), _note(gradient, k)
      for against, theirs in theirs_on(gradient, k).items():
        first, second = timing.pairs(ours, theirs, rounds)
        yield Result(
          name,
          first,
          against,
          second,
          target=1.0 if 'torch' in against else None,
          # Every score is read once and a byte of its mask written.
          floor=5 * size / rates.copy(),
          note=note,
        )
        taken.setdefault(share, []).append((size, first))
  yield from _extra(gradient, size)
  yield _added(quick)
  for share, found in taken.items():
    (small, quick_ones), (large, slow_ones) = found[0], found[-1]
    yield Result(
      f'selection/growth, k = {share}',
      slow_ones,
      f'{large / small:.3g} x {small / 1e6:.3g} M',
      tuple(x * large / small for x in quick_ones[: len(slow_ones)]),
      target=1.1,
    )


def gradient_of(width: int) -> dict[str, jax.Array]:
  """Normal numbers in the shapes of a ResNet18's leaves."""
  model = models.create('resnet18', 10, width=width)
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  like = jax.eval_shape(model.init, jax.random.key(0), image)['params']
  rng = np.random.default_rng(0)
  return {
    jax.tree_util.keystr(path): jnp.asarray(
      rng.standard_normal(leaf.shape, np.float32)
    )
    for path, leaf in jax.tree.leaves_with_path(like)
  }


def ours_on(gradient: dict, k: int) -> Callable:
  """Selects the k entries of the largest absolute value."""
  k = jnp.int32(k)
  return lambda: _select(gradient, k)


@jax.jit
def _select(gradient: dict, k: jax.Array) -> dict:
  return masks.top_k(jax.tree.map(jnp.abs, gradient), k)


def theirs_on(gradient: dict, k: int) -> dict[str, Callable]:
  """{name: what selects the same}, where no values tie."""
  device = 'cpu' if jax.default_backend() == 'cpu' else 'cuda'
  arrays = [np.asarray(x) for x in gradient.values()]
  tensors = [torch.tensor(x, device=device) for x in arrays]
  sizes = [x.size for x in arrays]

  def of_torch():
    flat = torch.cat([x.flatten() for x in tensors]).abs_()
    mask = torch.zeros(flat.shape, dtype=torch.bool, device=device)
    mask[torch.topk(flat, k, sorted=False).indices] = True
    if device == 'cuda':
      torch.cuda.synchronize()
    return [
      m.view(x.shape) for m, x in zip(mask.split(sizes), tensors, strict=True)
    ]

  def of_numpy():
    flat = np.concatenate([x.ravel() for x in arrays])
    np.abs(flat, out=flat)
    # Ties at the bound are all selected.
    bound = np.partition(flat, flat.size - k)[flat.size - k]
    return [np.abs(x) >= bound for x in arrays]

  return {'torch.topk': of_torch, 'numpy.partition': of_numpy}


def _note(gradient: dict, k: int) -> str:
  """Whether ours has to part ties, which costs more."""
  flat = np.abs(np.concatenate([np.ravel(x) for x in gradient.values()]))
  bound = np.partition(flat, flat.size - k)[flat.size - k]
  parts = np.count_nonzero(flat >= bound) > k
  return f'ties {"parted" if parts else "none"}'


def _extra(gradient: dict, size: int) -> Iterator[Result]:
  """What it holds besides scores that are there; and from gradients on."""
  for what, program, target in (
    ('memory beyond the scores', jax.jit(masks.top_k), 1.0),
    ('memory beyond the gradients', _select, None),
  ):
    compiled = program.lower(gradient, jnp.int32(45)).compile()
    yield Result(
      f'selection/{size / 1e6:.3g} M, {what}',
      (float(compiled.memory_analysis().temp_size_in_bytes),),
      'one copy of the scores',
      (4.0 * size,),
      target=target,
      unit='bytes',
    )


def _added(quick: bool) -> Result:
  """The memory that each side's work adds to a process."""
  size = 'quick' if quick else 'full'
  ours, theirs = (
    float(processes.run('-m', 'benchmarks.alone', 'selection', side, size).said)
    for side in ('ours', 'theirs')
  )
  return Result(
    'selection/memory that it adds, compiling included',
    (ours,),
    'torch.topk',
    (max(theirs, 1.0),),
    unit='bytes',
  )
