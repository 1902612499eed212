"""A config, checked, and the methods that its rows of recipes stand for."""

import difflib
import inspect
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from jaxunlearn import models, recipes
from jaxunlearn.errors import InputError
from jaxunlearn.method import UnlearningMethod

__all__ = ['Row', 'check', 'flat', 'network', 'optimizer', 'rows']

_SEED = (0, 2**32 - 1)
_MANY = 10_000_000

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
}
_ROW_RANGES = {
  'epochs': (0, _MANY),
  'batch_size': (1, _MANY),
  'learning_rate': (1e-12, 1e3),
  'threshold': (0.0, 1.0),
  'seed': _SEED,
}
_WORDS = ('data.source', 'data.dir', 'forget.path', 'original.checkpoint')
_FLAGS = ('train.augment', 'original.keep')
_LISTS = ('data.mean', 'data.std', 'forget.classes')
_CHOICES = {
  'model.name': models.names(),
  'model.dtype': ('float32', 'bfloat16'),
  'train.optimizer': ('adam', 'adamw', 'sgd'),
  'train.schedule': ('constant', 'cosine'),
  'reference': ('retrain', 'none'),
}
_ROW_CHOICES = {
  'trainable': ('everything', 'selected'),
  'batch_stats': ('retain', 'frozen'),
  'stop': ('epochs', 'similar', 'converged'),
}
_TAKEN = ('original', 'retrained')
# What a default of each type stands for.
_KINDS = {
  bool: (bool, 'True or False'),
  int: (int, 'a whole number'),
  float: (int | float, 'a number'),
  str: (str, 'text'),
}
_SHARED_KINDS = {
  'epochs': int,
  'batch_size': int,
  'learning_rate': float,
  'trainable': str,
  'batch_stats': str,
  'augment': bool,
  'stop': str,
  'threshold': float,
  'seed': int,
}


class Row(NamedTuple):
  """One line of `config.recipes`.

  Attributes:
    name: of the row.
    recipe: its name in `jaxunlearn.recipes`.
    method: what to do.
    settings: every hyper-parameter of the recipe, and how long it fine-tunes.
  """

  name: str
  recipe: str
  method: UnlearningMethod
  settings: Mapping[str, Any]


def check(config: Any) -> None:
  """Checks every setting that is a number, a choice, a word or a flag.

  Args:
    config: a ConfigDict with the keys of `configs/common.py`.

  Raises:
    InputError: names the first setting that is wrong, and what is right.
  """
  values = flat(config.to_dict())
  for name, bounds in _RANGES.items():
    _check_range(name, values.get(name), *bounds)
  for name, choices in _CHOICES.items():
    _check_choice(name, values.get(name), choices)
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
  for name in ('data.num_train', 'data.num_test'):
    if not isinstance(values.get(name), int | None):
      raise InputError(f'{name} must be a whole number, or None for all.')
  mean, std = values['data.mean'], values['data.std']
  for name, numbers in (('mean', mean), ('std', std)):
    if not all(_is_number(x) and math.isfinite(x) for x in numbers):
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


def rows(config: Any) -> list[Row]:
  """The rows of `config.recipes`, each as a method.

  A hyper-parameter is the row's own, else that of `config.unlearn`, else the
  recipe's default.

  Raises:
    InputError: an unknown recipe or setting, or a value that cannot be.
  """
  shared = config.unlearn.to_dict()
  # Here too, because no row may use one of them.
  _check_shared(shared, lambda key: f'unlearn.{key}')
  for name, row in config.recipes.to_dict().items():
    if not isinstance(row, Mapping):
      raise InputError(
        f"recipes.{name} must be a dict such as {{'name': 'top_k'}}."
      )
  return [
    _row(name, dict(row), shared)
    for name, row in config.recipes.to_dict().items()
  ]


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
  model = models.create(
    config.model.name,
    num_classes,
    width=config.model.width,
    dtype=jnp.dtype(config.model.dtype),
  )
  return models.normalized(model, mean, std)


def flat(tree: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """{'a': {'b': 1}} as {'a.b': 1}."""
  found = {}
  for name, value in tree.items():
    if isinstance(value, Mapping):
      found |= flat(value, f'{prefix}{name}.')
    else:
      found[f'{prefix}{name}'] = value
  return found


def _row(name: str, own: dict[str, Any], shared: Mapping[str, Any]) -> Row:
  where = f'recipes.{name}'
  if not re.fullmatch(r'[A-Za-z0-9_+=-]{1,80}', name) or name in _TAKEN:
    raise InputError(
      f'{name[:80]!r} cannot be the name of a row: use letters, digits and '
      f'_+=- only, and neither of {", ".join(_TAKEN)}.'
    )
  recipe = own.pop('name', None)
  _check_choice(f'{where}.name', recipe, recipes.__all__)
  make = getattr(recipes, recipe)
  defaults = {
    key: parameter.default
    for key, parameter in inspect.signature(make).parameters.items()
  }
  unused = {'trainable'} - set(defaults)
  known = [key for key in {**defaults, **shared} if key not in unused]
  for key in own:
    if key not in known:
      raise InputError(f'{where} has no setting {key!r}{_nearest(key, known)}')
  settings = {**defaults, **shared, **own}
  for key in unused:
    del settings[key]

  def place(key: str) -> str:
    is_shared = key in shared and key not in own
    return f'unlearn.{key}' if is_shared else f'{where}.{key}'

  for key, default in defaults.items():
    if type(default) in _KINDS:
      _check_kind(place(key), settings[key], type(default))
  _check_shared(settings, place)
  if settings['augment'] and settings['batch_stats'] == 'frozen':
    raise InputError(
      f'{where} has augment = True, which has no effect where batch_stats = '
      "'frozen': set augment = False or batch_stats = 'retain'."
    )
  try:
    method = make(**{key: settings[key] for key in defaults})
  except (TypeError, ValueError) as error:
    raise InputError(f'{where}: {error}') from error
  return Row(name, recipe, method, settings)


def _check_shared(
  settings: Mapping[str, Any], place: Callable[[str], str]
) -> None:
  for key, kind in _SHARED_KINDS.items():
    if key in settings:
      _check_kind(place(key), settings[key], kind)
  for key, bounds in _ROW_RANGES.items():
    if key in settings:
      _check_range(place(key), settings[key], *bounds)
  for key, choices in _ROW_CHOICES.items():
    if key in settings:
      _check_choice(place(key), settings[key], choices)


def _check_kind(name: str, value: Any, default: type) -> None:
  kind, wanted = _KINDS[default]
  # True is an int to Python, and no number to a person.
  if not isinstance(value, kind) or (type(value) is bool) != (default is bool):
    raise InputError(f'{name} is {value!r:.40}, but must be {wanted}.')


def _check_range(name: str, value: Any, low: float, high: float) -> None:
  whole = isinstance(low, int) and isinstance(high, int)
  if not _is_number(value) or (whole and not isinstance(value, int)):
    kind = 'whole number' if whole else 'number'
    raise InputError(f'{name} is {value!r:.40}, but must be a {kind}.')
  if not low <= value <= high:
    raise InputError(
      f'{name} is {value!r:.40}, but must be from {low:g} to {high:g}.'
    )


def _check_choice(name: str, value: Any, choices) -> None:
  if value not in choices:
    raise InputError(
      f'{name} is {value!r:.40}{_nearest(str(value), list(choices))}'
    )


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool)


def _nearest(word: str, known: list[str]) -> str:
  near = difflib.get_close_matches(word, known, n=1)
  if near:
    return f'; did you mean {near[0]}?'
  return f'; there are {", ".join(known)}.'
