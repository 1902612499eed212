"""A config, checked, and the network and optimizer that it stands for."""

import functools
from typing import Any

import jax.numpy as jnp
import optax

from jaxunlearn import checks, models, nested
from jaxunlearn.errors import InputError

__all__ = ['check', 'network', 'optimizer']

_SEED = (0, 2**32 - 1)
_MANY = 10_000_000
_LARGE = 1e30

# (lowest, highest) of each number; whole numbers where both bounds are int.
_RANGES = {
  'data.seed': _SEED,
  'model.width': (1, 10_000),
  'train.epochs': (1, _MANY),
  'train.batch_size': (1, _MANY),
  'train.learning_rate': (1e-12, 1e3),
  'train.weight_decay': (0.0, 1e3),
  'train.warmup_epochs': (0, _MANY),
  'train.seed': _SEED,
  'forget.fraction': (0.0, 1.0),
  'forget.seed': _SEED,
  'hosts.count': (0, _MANY),
  'hosts.index': (0, _MANY),
  'hosts.heartbeat_timeout_seconds': (1, 100_000),
  'mesh.data': (0, _MANY),
  'mesh.model': (1, _MANY),
  'save.seconds': (0.0, 1e9),
  'save.steps': (0, _MANY),
}
_WORDS = (
  'data.source',
  'data.dir',
  'forget.path',
  'hosts.coordinator',
  'original.checkpoint',
  'cache_dir',
)
_FLAGS = ('train.augment', 'original.keep')
_LISTS = ('data.mean', 'data.std', 'forget.classes')
_CHOICES = {
  'data.stream': ('auto', 'always', 'never'),
  'model.name': models.names(),
  'model.dtype': ('float32', 'bfloat16'),
  'train.optimizer': ('adam', 'adamw', 'sgd'),
  'train.schedule': ('constant', 'cosine'),
  'reference': ('retrain', 'none'),
}


def check(config: Any) -> None:
  """Checks every setting that is a number, a choice, a word or a flag.

  Args:
    config: a ConfigDict with the keys of `configs/common.py`.

  Raises:
    InputError: names the first setting that is wrong, and what is right.
  """
  values = nested.flat(config.to_dict())
  for name, bounds in _RANGES.items():
    checks.in_range(name, values.get(name), *bounds)
  for name, choices in _CHOICES.items():
    checks.choice(name, values.get(name), choices)
  if values['train.warmup_epochs'] > values['train.epochs']:
    raise InputError(
      'train.warmup_epochs must not exceed train.epochs, which is '
      f'{values["train.epochs"]}.'
    )
  for names, kind, wanted in (
    (_WORDS, str, 'text'),
    (_FLAGS, bool, 'True or False'),
    (_LISTS, tuple | list, 'a tuple'),
  ):
    for name in names:
      if not isinstance(values.get(name), kind):
        raise InputError(f'{name} must be {wanted}, not {values.get(name)!r}.')
  for name in _WORDS:
    if not checks.is_text(values[name]):
      raise InputError(
        f'{name} holds bytes that are no UTF-8: rename what it names.'
      )
  for name in ('data.num_train', 'data.num_test'):
    if not isinstance(values.get(name), int | None):
      raise InputError(f'{name} must be a whole number, or None for all.')
  mean, std = values['data.mean'], values['data.std']
  for name, numbers in (('mean', mean), ('std', std)):
    if not all(checks.is_number(x) and abs(x) < _LARGE for x in numbers):
      raise InputError(f'data.{name} must hold finite numbers, one a channel.')
  if any(x <= 0 for x in std):
    raise InputError('data.std must hold numbers above 0, one a channel.')
  if bool(mean) != bool(std):
    raise InputError('give data.mean and data.std together, or neither.')
  if not config.get('recipes'):
    raise InputError(
      'config.recipes is empty: give at least one row, such as '
      "{'top_k': {'name': 'top_k'}}."
    )


def optimizer(train: Any, epoch_steps: int) -> optax.GradientTransformation:
  """The optimizer of `config.train`, with its schedule.

  Args:
    train: that section.
    epoch_steps: steps in an epoch.
  """
  total = train.epochs * epoch_steps
  warmup = min(train.warmup_epochs * epoch_steps, total - 1)
  rate = train.learning_rate
  if train.schedule == 'cosine':
    rate = optax.warmup_cosine_decay_schedule(
      0.0 if warmup else rate, rate, warmup, total
    )
  elif warmup:
    rate = optax.linear_schedule(0.0, rate, warmup)
  if train.optimizer == 'adamw':
    return optax.adamw(rate, weight_decay=train.weight_decay)
  if train.optimizer == 'sgd':
    return optax.sgd(rate, momentum=0.9)
  return optax.adam(rate)


def network(
  config: Any, num_classes: int, mean: tuple, std: tuple
) -> models.Model:
  """The network of `config.model`, behind the normalisation."""
  how = config.model
  return _network(how.name, how.width, how.dtype, num_classes, mean, std)


# One object for one network: what is compiled of it is found again.
@functools.lru_cache(maxsize=16)
def _network(
  name: str, width: int, dtype: str, num_classes: int, mean: tuple, std: tuple
) -> models.Model:
  model = models.create(name, num_classes, width=width, dtype=jnp.dtype(dtype))
  return models.normalized(model, mean, std)
