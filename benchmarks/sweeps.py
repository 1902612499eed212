"""Sixteen models of one shape: as one program, and one after another."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import optax

from benchmarks import images, timing
from benchmarks.result import Result
from jaxunlearn import Task, models, recipes, train, unlearn, unlearn_many


def run(quick: bool) -> Iterator[Result]:
  """K, ε and learning rates; and seeds. Compiling is in it."""
  count, steps, rounds = (2, 2, 1) if quick else (16, 20, 1)
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

  yield _beside(f'sweeps/{count} settings', sweep, one_by_one, rounds, 1.0)
  tx = optax.adam(1e-3)

  def seeds():
    return train.fit_many(model, retain, keys, tx=tx, **how).variables

  def seed_by_seed():
    found = []
    for key in keys:
      *_, (state, _) = train.fit(model, retain, key, tx=tx, **how)
      found.append(state.variables)
    return found

  yield _beside(f'sweeps/{count} seeds', seeds, seed_by_seed, rounds, 1.1)


def _recipe(own: dict) -> recipes.UnlearningMethod:
  return recipes.top_k(
    own['k'],
    'scalars',
    own['factor'],
    learning_rate=own['rate'],
    num_examples=32,
  )


def _beside(name: str, ours, theirs, rounds: int, target: float) -> Result:
  def anew(work):
    def run():
      jax.clear_caches()
      return work()

    return run

  first, second = timing.pairs(anew(ours), anew(theirs), rounds)
  return Result(name, first, 'one after another', second, target=target)
