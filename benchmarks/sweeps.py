"""Sixteen models of one shape: as one program, and one after another.

Compiling is in it, and nothing compiled is found on disk. What a sweep saves is
compiling: its models take their steps one after another all the same.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp

from benchmarks import images
from benchmarks.result import Result
from jaxunlearn import Task, models, recipes, unlearn, unlearn_many
from jaxunlearn.clock import Clock


def run(quick: bool) -> Iterator[Result]:
  """K, ε and learning rates."""
  count, steps = (2, 2) if quick else (16, 20)
  model = models.create('cnn', 10, width=4 if quick else 16)
  forget, retain = images.examples(64, 0), images.examples(512, 1)
  variables = model.init(jax.random.key(0), retain.image[:1])
  task = Task(model, variables, forget, retain)
  how = {'num_steps': steps, 'batch_size': 64}
  keys = jax.random.split(jax.random.key(1), count)
  settings = {
    'k': jnp.arange(1, count + 1) * 10,
    'factor': jnp.linspace(-1.0, 1.0, count),
    'rate': jnp.geomspace(1e-4, 1e-2, count),
  }

  def sweep():
    return unlearn_many(_recipe, settings, task, keys, **how)[0].variables

  def one_by_one():
    found = []
    for number, key in enumerate(keys):
      own = {name: value[number].item() for name, value in settings.items()}
      *_, (state, _) = unlearn(_recipe(own), task, key, **how)
      found.append(state.variables)
    return found

  yield _beside(f'sweeps/{count} settings', sweep, one_by_one, 1.0)


def _recipe(own: dict) -> recipes.UnlearningMethod:
  return recipes.top_k(
    own['k'],
    'scalars',
    own['factor'],
    learning_rate=own['rate'],
    num_examples=32,
  )


def _beside(name: str, ours, theirs, target: float) -> Result:
  seconds, compiling = [], []
  kept = jax.config.jax_enable_compilation_cache
  jax.config.update('jax_enable_compilation_cache', False)
  for work in (ours, theirs):
    jax.clear_caches()
    clock = Clock()
    with clock.measure('running'):
      jax.block_until_ready(work())
    compiling.append(clock.seconds['compile'])
    seconds.append(sum(clock.seconds.values()))
  jax.config.update('jax_enable_compilation_cache', kept)
  return Result(
    name,
    (seconds[0],),
    'one after another',
    (seconds[1],),
    target=target,
    note=f'{compiling[0]:.3g} and {compiling[1]:.3g} s of it compiling',
  )
