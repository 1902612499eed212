"""Recipes: the named unlearning methods, each a short composition of parts.

A new one is a function here that returns an `UnlearningMethod`, and its name in
`__all__`.
"""

import functools
import inspect

import optax

from jaxunlearn import objectives, perturbers, scores, selectors
from jaxunlearn.method import UnlearningMethod
from jaxunlearn.objectives import Objective
from jaxunlearn.types import traced

__all__ = [
  'cf_k',
  'eu_k',
  'finetune',
  'random_k',
  'random_top_k',
  'top_k',
]


def top_k(
  k: int = 45,
  over: str = 'leaves',
  factor: float = 0.1,
  js_weight: float = 0.1,
  learning_rate: float = 1e-3,
  trainable: str = 'everything',
  batch_stats: str = 'retain',
  perturb: str = 'scale',
  loss: str = 'cross_entropy',
  split: str = 'train',
  num_examples: int = 128,
  per_example: bool = False,
) -> UnlearningMethod:
  """Top-K: perturbs the entries to which the loss is most sensitive.

  Args:
    k: how many.
    over: 'leaves', parameter arrays, or 'scalars'. The paper's K = 45 can be
      read as either.
    factor: ε of the perturbation; the paper prints none.
    js_weight: λ of the JS term on forget. 0 leaves it out.
    learning_rate: of Adam.
    trainable: 'everything' or 'selected'.
    batch_stats: 'retain' or 'frozen'.
    perturb: 'scale' (Eq. 7), 'interpolate', 'reinit' or 'identity'.
    loss: of the sensitivity; this and the rest as in `scores.gradient`.
    split: where examples for the sensitivity are drawn.
    num_examples: how many.
    per_example: mean of absolute gradients, one backward pass per example.

  Returns:
    The method.

  Reference:
    Zuo et al. (2025), Algorithm 1, Top-K; Eq. 6, 7 and 10.
  """
  score = scores.gradient(loss, split, num_examples, per_example)
  return UnlearningMethod(
    select=selectors.top_k(k, over, score),
    perturb=_perturber(perturb, factor),
    objective=_equation_10(js_weight),
    trainable=trainable,
    batch_stats=batch_stats,
    tx=_adam(learning_rate),
  )


def random_k(
  fraction: float = 0.05,
  factor: float = 0.1,
  js_weight: float = 0.1,
  learning_rate: float = 1e-3,
  trainable: str = 'everything',
  batch_stats: str = 'retain',
  perturb: str = 'scale',
) -> UnlearningMethod:
  """Random-k: perturbs each scalar independently with probability `fraction`.

  Args:
    fraction: k of the paper, 5 % there.
    factor: ε of the perturbation.
    js_weight: λ of the JS term on forget. 0 leaves it out.
    learning_rate: of Adam.
    trainable: 'everything' or 'selected'.
    batch_stats: 'retain' or 'frozen'.
    perturb: 'scale' (Eq. 7) or 'interpolate', the blend that Algorithm 1
      prints for Random-k.

  Returns:
    The method.

  Reference:
    Zuo et al. (2025), Algorithm 1, Random-k; Eq. 7 and 10.
  """
  return UnlearningMethod(
    select=selectors.random_k(fraction),
    perturb=_perturber(perturb, factor),
    objective=_equation_10(js_weight),
    trainable=trainable,
    batch_stats=batch_stats,
    tx=_adam(learning_rate),
  )


def random_top_k(
  fraction: float = 0.05,
  share: float = 1.0,
  factor: float = 0.1,
  js_weight: float = 0.1,
  learning_rate: float = 1e-3,
  trainable: str = 'everything',
  batch_stats: str = 'retain',
  perturb: str = 'scale',
  loss: str = 'cross_entropy',
  split: str = 'train',
  num_examples: int = 128,
  per_example: bool = False,
) -> UnlearningMethod:
  """Random-TopK: as many scalars as Random-k, chosen by sensitivity.

  Args:
    fraction: of the Random-k selection that sets how many.
    share: of them that is chosen by sensitivity, the rest at random.
    factor: ε of the perturbation.
    js_weight: λ of the JS term on forget. 0 leaves it out.
    learning_rate: of Adam.
    trainable: 'everything' or 'selected'.
    batch_stats: 'retain' or 'frozen'.
    perturb: 'scale' (Eq. 7), 'interpolate', 'reinit' or 'identity'.
    loss: of the sensitivity; this and the rest as in `scores.gradient`.
    split: where examples for the sensitivity are drawn.
    num_examples: how many.
    per_example: mean of absolute gradients, one backward pass per example.

  Returns:
    The method.

  Reference:
    Zuo et al. (2025), the mixed strategy of the evaluation (Fig. 8).
  """
  score = scores.gradient(loss, split, num_examples, per_example)
  return UnlearningMethod(
    select=selectors.random_top_k(fraction, share, score),
    perturb=_perturber(perturb, factor),
    objective=_equation_10(js_weight),
    trainable=trainable,
    batch_stats=batch_stats,
    tx=_adam(learning_rate),
  )


def eu_k(
  k: int = 5,
  over: str = 'leaves',
  learning_rate: float = 1e-4,
  batch_stats: str = 'retain',
) -> UnlearningMethod:
  """EU-K: re-initialises the last k entries and trains those alone, on retain.

  Guarantees:
    Every other parameter keeps its bits, and no gradient of it is computed.

  Args:
    k: how many.
    over: 'leaves', parameter arrays as the paper counts, or 'layers'.
    learning_rate: of Adam.
    batch_stats: 'retain': the statistics of every layer, those that stand still
      too, follow the retained examples; 'frozen': all stay the original's, also
      behind layers that are new.

  Returns:
    The method.

  Reference:
    Zuo et al. (2025), Section IV-A; Goel et al. (2022), *Towards Adversarial
    Evaluations for Inexact Machine Unlearning*.
  """
  method = cf_k(k, over, learning_rate, batch_stats)
  return method._replace(perturb=perturbers.reinit())


def cf_k(
  k: int = 5,
  over: str = 'leaves',
  learning_rate: float = 1e-4,
  batch_stats: str = 'retain',
) -> UnlearningMethod:
  """CF-K: trains the last k entries on retain, from where they are.

  Guarantees:
    Every other parameter keeps its bits, and no gradient of it is computed.

  Args:
    k: how many.
    over: 'leaves', parameter arrays as the paper counts, or 'layers'.
    learning_rate: of Adam.
    batch_stats: as for `eu_k`.

  Returns:
    The method.

  Reference:
    Zuo et al. (2025), Section IV-A; Goel et al. (2022), "catastrophic
    forgetting" of the last k layers.
  """
  return UnlearningMethod(
    select=selectors.last(k, over),
    perturb=perturbers.identity(),
    objective=objectives.weighted_sum({'retain': {'cross_entropy': 1.0}}),
    trainable='selected',
    batch_stats=batch_stats,
    tx=_adam(learning_rate),
  )


def finetune(
  js_weight: float = 0.1,
  learning_rate: float = 1e-3,
  batch_stats: str = 'retain',
) -> UnlearningMethod:
  """Fine-tuning alone, nothing perturbed: the K = 0 control.

  Args:
    js_weight: λ of the JS term on forget. 0 leaves it out.
    learning_rate: of Adam.
    batch_stats: 'retain' or 'frozen'.

  Returns:
    The method.

  Reference:
    Zuo et al. (2025), Fig. 5 at K = 0.
  """
  return UnlearningMethod(
    select=selectors.nothing(),
    perturb=perturbers.identity(),
    objective=_equation_10(js_weight),
    batch_stats=batch_stats,
    tx=_adam(learning_rate),
  )


def _adam(learning_rate: float) -> optax.GradientTransformation:
  if traced(learning_rate):
    return optax.adam(learning_rate)
  return _one_adam(
    learning_rate if callable(learning_rate) else float(learning_rate)
  )


# One object for one rate, so that equal methods share what XLA compiled.
_one_adam = functools.lru_cache(maxsize=64)(optax.adam)


def _equation_10(js_weight: float) -> Objective:
  return objectives.weighted_sum(
    {
      'retain': {'cross_entropy': 1.0},
      'forget': {'js_to_original': js_weight},
    }
  )


def _perturber(name: str, factor: float) -> perturbers.Perturber:
  known = sorted({*perturbers.__all__} - {'chain'})
  if name not in known:
    raise ValueError(f'no perturber {name!r}; there are {", ".join(known)}.')
  make = getattr(perturbers, name)
  takes_factor = 'factor' in inspect.signature(make).parameters
  return make(factor) if takes_factor else make()
