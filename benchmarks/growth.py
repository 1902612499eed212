"""How cost grows: with parameters, with data, with the share forgotten.

Each result is an exponent, the slope of log cost against log size between the
two largest sizes: 1 is linear. What is small costs mostly the start of it.
"""

import functools
import statistics
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
from jaxunlearn.types import Model, Resident

# A slope of so few points is not known better.
_LINEAR = 1.1
_LONG = 5.0  # Seconds.


def run(quick: bool) -> Iterator[Result]:
  """Parameters 1e5 to 1e8, data 1 k to 50 k, 1 to 50 % forgotten, memory."""
  widths = (4, 8) if quick else (6, 19, 60, 190)
  batch = 2 if quick else 8
  selecting, stepping = [], []
  for width in widths:
    task = _task(width, batch)
    selecting.append((_size(task), _selecting(task, batch)))
    stepping.append((_size(task), _stepping(task, batch)))
  yield exponent('growth/parameters, selecting', selecting)
  yield exponent('growth/parameters, a step', stepping)
  sizes = (64, 128) if quick else (1000, 5000, 20000, 50000)
  yield exponent('growth/data, an epoch', [_unlearning(n, 0.1) for n in sizes])
  shares = (0.1, 0.5) if quick else (0.01, 0.05, 0.1, 0.2, 0.5)
  size = 64 if quick else 5000
  # An epoch has as many steps as retain has batches, so of each step.
  yield exponent(
    'growth/share forgotten, a step',
    [(share, _unlearning(size, share)[1] / (1 - share)) for share in shares],
    most=0.1,
  )
  yield from _memory(quick)


def exponent(
  name: str, found: Sequence[tuple[float, float]], most: float = _LINEAR
) -> Result:
  """The slope of log seconds against log size, of the two largest sizes.

  Args:
    name: of the result.
    found: (size, seconds), ascending.
    most: the largest slope that is meant to be.
  """
  (size, cost), (larger, dearer) = found[-2:]
  slope = float(np.log(dearer / cost) / np.log(larger / size))
  said = ', '.join(f'{n:.3g}: {seconds:.3g} s' for n, seconds in found)
  return Result(
    name,
    (slope,),
    'linear',
    (1.0,),
    target=most,
    unit='',
    note=said,
    points=tuple(found),
  )


def _seconds(work: Callable, long: float = _LONG) -> float:
  """The median of three, or of fewer where they take long, after a first."""
  timing.seconds(work)
  found = [timing.seconds(work)]
  while len(found) < 3 and sum(found) < long:
    found.append(timing.seconds(work))
  return statistics.median(found)


def _network(width: int) -> Model:
  return models.create('resnet18', images.CLASSES, width=width)


def _task(width: int, batch: int) -> Task:
  model = _network(width)
  retain, forget = images.examples(batch, 0), images.examples(batch, 1)
  variables = jax.jit(model.init)(jax.random.key(0), retain.image[:1])
  return Task(model, variables, forget, retain)


def _size(task: Task) -> int:
  return sum(x.size for x in jax.tree.leaves(task.original['params']))


def _selecting(task: Task, batch: int) -> float:
  """Seconds of the gradient of a few examples, 5 % of the scalars, changed."""
  own = recipes.top_k(_size(task) // 20, 'scalars', num_examples=batch)
  key = jax.random.key(0)

  def work():
    selection = method.select(own, task, key)
    return method.perturb(own, task, key, selection)

  return _seconds(work)


def _stepping(task: Task, batch: int) -> float:
  """Seconds of a step of fine-tuning."""
  own, key = recipes.finetune(), jax.random.key(0)
  selection = method.select(own, task, key)
  state = method.begin(own, task, task.original['params'], selection, key)
  how = {'num_steps': 2**30, 'batch_size': batch}
  steps = method.fine_tune(own, task, state, key, **how)
  return _seconds(lambda: next(steps), long=float('inf'))


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
  (width, batch), others = (16, 32), ((16, 128), (64, 32))
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
      least=1 / 1.2,
      unit='bytes',
      note=f'a = {each:.3g}',
    )


def _bytes(width: int, batch: int) -> tuple[int, int]:
  """Parameters, and what a compiled step holds at once, by XLA's account."""
  model, tx = _network(width), recipes.finetune().tx
  objective = objectives.weighted_sum({'retain': {'cross_entropy': 1.0}})
  step = train.make_step(model, objective, tx, updates='retain')
  examples, key = images.examples(batch, 0), jax.random.key(0)

  def begin(key):
    variables = model.init(key, examples.image[:1])
    params = variables['params']
    everything = jax.tree.map(lambda _: jnp.array(True), params)
    return train.init(variables, everything, tx, key)

  # Shapes are all that a program is made of.
  state = jax.eval_shape(begin, key)
  batches = {'retain': examples.take(jnp.arange(batch))}
  program = jax.jit(step).lower(state, batches, {}).compile()
  found = program.memory_analysis()
  held = (
    found.argument_size_in_bytes
    + found.output_size_in_bytes
    + found.temp_size_in_bytes
  )
  params = jax.tree.leaves(state.variables['params'])
  return sum(x.size for x in params), held
