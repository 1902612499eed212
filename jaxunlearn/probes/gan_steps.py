"""The steps in which SPD-GAN's generator learns, one by one."""

import dataclasses
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import optax

from jaxunlearn.losses import cross_entropy
from jaxunlearn.models.linen import to_float
from jaxunlearn.probes import generator
from jaxunlearn.probes.generator import Generator
from jaxunlearn.probes.judges import Judge
from jaxunlearn.train import run
from jaxunlearn.types import (
  Array,
  Batch,
  Params,
  Source,
  State,
  as_pytree,
  as_source,
)

__all__ = ['begin', 'steps']


def begin(
  key: Array,
  forget: Source | Batch,
  *,
  learning_rate: optax.ScalarOrSchedule = 1e-3,
  width: int = 32,
) -> State:
  """The state before the first of `steps`; the arguments are those of `train`.

  Args:
    key: as in `train`.
    forget: as in `train`.
    learning_rate: as in `train`.
    width: as in `train`.
  """
  step = _Step(Generator(width), 0.0, 1.0, learning_rate)
  key_init, _, key_steps = jax.random.split(key, 3)
  image = as_source(forget).take(jnp.zeros(1, jnp.int32))['image']
  variables = generator.init(step.generator, key_init, image)
  opt_state = step.tx.init(variables['params'])
  return State(variables, opt_state, (), jnp.zeros((), jnp.int32), key_steps)


def steps(
  state: State,
  key: Array,
  original_fn: Judge,
  unlearned_fn: Judge,
  forget: Source | Batch,
  *,
  num_steps: int,
  eta: float = 0.03,
  batch_size: int = 128,
  learning_rate: optax.ScalarOrSchedule = 1e-3,
  max_noise: float = 1.0,
  width: int = 32,
) -> Iterator[tuple[State, dict[str, Array]]]:
  """The steps that `train` takes, for one who wants to stop between them.

  Args:
    state: as `begin` gives it, or an earlier step.
    key: as in `train`, and likewise the others.
    original_fn: one judge.
    unlearned_fn: the other.
    forget: n examples.
    num_steps: in all, counting those that the state has taken.
    eta: η.
    batch_size: examples in a step.
    learning_rate: Adam's.
    max_noise: bounds the noise.
    width: of the `Generator`.

  Yields:
    (state, metrics) after each XLA call.

  Raises:
    ValueError: as `train`.
  """
  if num_steps < 1:
    raise ValueError(f'a generator needs at least one step, not {num_steps}.')
  if not 0 < max_noise <= 1:
    raise ValueError(
      f'max_noise, in pixels of [0, 1], is above 0, not {max_noise}.'
    )
  step = _Step(Generator(width), eta, max_noise, learning_rate)
  judges = {
    'original': as_pytree(original_fn),
    'judged': as_pytree(unlearned_fn),
  }
  yield from run(
    # The judges are data of each step, and no part of its state.
    jax.tree_util.Partial(step, judges),
    state,
    {'forget': as_source(forget)},
    jax.random.split(key, 3)[1],
    num_steps=num_steps,
    batch_size=batch_size,
  )


@dataclasses.dataclass(frozen=True)
class _Step:
  """What `run` takes as a step, once the judges are given.

  Equal settings share a compiled program.
  """

  generator: Generator
  eta: float
  max_noise: float
  learning_rate: optax.ScalarOrSchedule

  @property
  def tx(self) -> optax.GradientTransformation:
    return optax.adam(self.learning_rate)

  def __call__(
    self,
    judges: Mapping[str, Judge],
    state: State,
    batches: Mapping[str, Batch],
    teachers: Mapping,
  ) -> tuple[State, dict[str, Array]]:
    del teachers  # The loss asks the judges, about images under noise.
    label = batches['forget']['label']
    image = to_float(batches['forget']['image'])
    params = state.variables['params']

    def loss(params: Params) -> tuple[Array, tuple]:
      noise, statistics = self.generator.apply(
        {**state.variables, 'params': params},
        image,
        train=True,
        mutable=['batch_stats'],
      )
      perturbed = generator.add(image, self.max_noise * noise)
      terms = {
        f'cross_entropy_{name}': cross_entropy(
          fn(perturbed), label, None
        ).mean()
        for name, fn in judges.items()
      }
      kept, lost = (
        terms['cross_entropy_original'],
        terms['cross_entropy_judged'],
      )
      total = kept - self.eta * lost
      return total, (statistics, {'loss': total, **terms})

    gradient, (statistics, metrics) = jax.grad(loss, has_aux=True)(params)
    change, opt_state = self.tx.update(gradient, state.opt_state, params)
    params = optax.apply_updates(params, change)
    variables = {**statistics, 'params': params}
    state = State(variables, opt_state, (), state.step + 1, state.key)
    return state, metrics
