"""How cost grows: with parameters, with data, with the share forgotten.

Each result is an exponent, the slope of log cost against log size: 1 is linear.
"""

import functools
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import images, timing
from benchmarks.result import Result
from jaxunlearn import (
  Task,
  method,
  models,
  objectives,
  recipes,
  train,
  unlearn,
)
from jaxunlearn.types import Resident

# A slope of so few points is not known better.
_LINEAR = 1.1


def run(quick: bool) -> Iterator[Result]:
  """Parameters 1e5 to 1e8, data 1 k to 50 k, 1 to 50 % forgotten, memory."""
  widths = (4, 8) if quick else (6, 19, 60, 190)
  batch = 2 if quick else 8
  for what in (_selecting, _stepping):
    found = [what(width, batch) for width in widths]
    yield exponent(f'growth/parameters, {what.__name__[1:]}', found)
  sizes = (64, 128) if quick else (1000, 5000, 20000, 50000)
  yield exponent('growth/data, an epoch', [_unlearning(n, 0.1) for n in sizes])
  shares = (0.1, 0.5) if quick else (0.01, 0.05, 0.1, 0.2, 0.5)
  size = 64 if quick else 5000
  yield exponent(
    'growth/share forgotten, an epoch',
    [(share, _unlearning(size, share)[1]) for share in shares],
  )
  yield from _memory(quick)


def exponent(name: str, found: Sequence[tuple[float, float]]) -> Result:
  """The slope of log seconds against log size, over pairs of the two."""
  size, cost = np.log(np.array(found)).T
  slope = float(np.polyfit(size, cost, 1)[0])
  said = ', '.join(f'{n:.3g}: {seconds:.3g} s' for n, seconds in found)
  return Result(
    name,
    (slope,),
    'linear',
    (1.0,),
    target=_LINEAR,
    unit='',
    note=said,
    points=tuple(found),
  )


def _seconds(work: Callable) -> float:
  timing.seconds(work)
  return timing.seconds(work)


def _task(width: int, batch: int) -> Task:
  model = models.create('resnet18', images.CLASSES, width=width)
  retain, forget = images.examples(batch, 0), images.examples(batch, 1)
  variables = jax.jit(model.init)(jax.random.key(0), retain.image[:1])
  return Task(model, variables, forget, retain)


def _size(task: Task) -> int:
  return sum(x.size for x in jax.tree.leaves(task.original['params']))


def _selecting(width: int, batch: int) -> tuple[float, float]:
  """Gradient of a few examples, 5 % of the scalars, perturbation."""
  task = _task(width, batch)
  own = recipes.top_k(_size(task) // 20, 'scalars', num_examples=batch)
  key = jax.random.key(0)

  def work():
    selection = method.select(own, task, key)
    return method.perturb(own, task, key, selection)

  return _size(task), _seconds(work)


def _stepping(width: int, batch: int) -> tuple[float, float]:
  """A step of fine-tuning."""
  task, own, key = _task(width, batch), recipes.finetune(), jax.random.key(0)
  selection = method.select(own, task, key)
  state = method.begin(own, task, task.original['params'], selection, key)
  how = {'num_steps': 2**30, 'batch_size': batch}
  steps = method.fine_tune(own, task, state, key, **how)
  return _size(task), _seconds(lambda: next(steps))


def _unlearning(size: int, share: float) -> tuple[float, float]:
  """Unlearning with one epoch of a small network; size and seconds."""
  model, variables = _small()
  forgotten = round(size * share)
  train = images.examples(size, 0)
  forget, retain = (
    Resident(train.image[part], train.label[part])
    for part in (slice(forgotten), slice(forgotten, None))
  )
  task = Task(model, variables, forget, retain)
  batch = min(128, size // 2)
  steps = max(1, len(retain) // batch)
  own, key = recipes.top_k(4, num_examples=min(128, size)), jax.random.key(0)
  how = {'num_steps': steps, 'batch_size': batch}
  return size, _seconds(lambda: list(unlearn(own, task, key, **how))[-1])


@functools.cache
def _small():
  model = models.create('cnn', images.CLASSES, width=4)
  image = images.examples(1, 0).image
  return model, model.init(jax.random.key(0), image)


def _memory(quick: bool) -> Iterator[Result]:
  """Bytes of a step, predicted from a small one.

  28 bytes a parameter: itself and the two moments of Adam, before and after,
  and its gradient; and so many for each example and channel of width.
  """
  (width, batch), others = (16, 32), ((16, 128), (64, 32), (64, 128))
  if quick:
    (width, batch), others = (4, 4), ((4, 8),)
  parameters, found = _bytes(width, batch)
  each = (found - 28 * parameters) / (width * batch)
  for width, batch in others:
    parameters, found = _bytes(width, batch)
    yield Result(
      f'growth/memory of a step, width {width}, batch {batch}',
      (float(found),),
      '28 P + a batch width',
      (28 * parameters + each * width * batch,),
      target=1.2,
      unit='bytes',
      note=f'a = {each:.3g}',
    )


def _bytes(width: int, batch: int) -> tuple[int, int]:
  """Parameters, and what a compiled step holds at once."""
  task, tx = _task(width, batch), recipes.finetune().tx
  objective = objectives.weighted_sum({'retain': {'cross_entropy': 1.0}})
  step = train.make_step(task.model, objective, tx, updates='retain')
  everything = jax.tree.map(lambda _: jnp.array(True), task.original['params'])
  state = train.init(task.original, everything, tx, jax.random.key(0))
  batches = {'retain': task.retain.take(jnp.arange(batch))}
  program = jax.jit(step).lower(state, batches, {}).compile()
  found = program.memory_analysis()
  held = (
    found.argument_size_in_bytes
    + found.output_size_in_bytes
    + found.temp_size_in_bytes
  )
  return _size(task), held
