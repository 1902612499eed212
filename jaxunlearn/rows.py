"""The rows of `config.recipes`, and the methods that they stand for."""

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxunlearn import checks, recipes
from jaxunlearn.errors import InputError
from jaxunlearn.method import UnlearningMethod

__all__ = ['Row', 'check_shared', 'rows']

_SEED = (0, 2**32 - 1)
_MANY = 10_000_000
_RANGES = {
  'epochs': (0, _MANY),
  'batch_size': (1, _MANY),
  'learning_rate': (1e-12, 1e3),
  'threshold': (0.0, 1.0),
  'seed': _SEED,
}
_CHOICES = {
  'trainable': ('everything', 'selected'),
  'batch_stats': ('retain', 'frozen'),
  'stop': ('epochs', 'similar', 'converged'),
}
_SHARED_KINDS = {
  'epochs': int,
  'batch_size': int,
  'learning_rate': float,
  'trainable': str,
  'batch_stats': str,
  'augment': bool,
  'cache_features': bool,
  'stop': str,
  'threshold': float,
  'seed': int,
}
_UNITS = {'leaves', 'layers', 'scalars'}
_TAKEN = ('original', 'retrained')
# Rows that forget in full, or nothing: what the others are held against.
_RETRAIN, _FINETUNE_ALL = 'retrain', 'finetune_all'


class Row(NamedTuple):
  """One line of `config.recipes`.

  Attributes:
    name: of the row.
    recipe: its name in `jaxunlearn.recipes`; 'retrain', one more training from
      scratch on retain; or 'finetune_all', fine-tuning on forget and retain
      alike.
    method: what to do; None for 'retrain'.
    settings: every hyper-parameter of the recipe, and how long it fine-tunes.
  """

  name: str
  recipe: str
  method: UnlearningMethod | None
  settings: Mapping[str, Any]

  @property
  def forgets(self) -> bool:
    """Whether it fine-tunes without the examples that are to be forgotten."""
    return self.recipe != _FINETUNE_ALL


def rows(config: Any) -> list[Row]:
  """The rows of `config.recipes`, each as a method.

  A hyper-parameter is the row's own, else that of `config.unlearn`, else the
  recipe's default.

  Raises:
    InputError: an unknown recipe or setting, or a value that cannot be.
  """
  shared = config.unlearn.to_dict()
  # Here too, because no row may use one of them.
  check_shared(shared, lambda key: f'unlearn.{key}')
  for name, row in config.recipes.to_dict().items():
    if not isinstance(row, Mapping):
      raise InputError(
        f"recipes.{name} must be a dict such as {{'name': 'top_k'}}."
      )
  return [
    _row(name, dict(row), shared)
    for name, row in config.recipes.to_dict().items()
  ]


def check_shared(
  settings: Mapping[str, Any], place: Callable[[str], str]
) -> None:
  """Checks the settings that rows share.

  Args:
    settings: a row's, or `config.unlearn`.
    place: the full name of a key.

  Raises:
    InputError: a value that cannot be.
  """
  for key, kind in _SHARED_KINDS.items():
    if key in settings:
      checks.kind(place(key), settings[key], kind)
  for key, bounds in _RANGES.items():
    if key in settings:
      checks.in_range(place(key), settings[key], *bounds)
  for key, choices in _CHOICES.items():
    if key in settings:
      checks.choice(place(key), settings[key], choices)


def _row(name: str, own: dict[str, Any], shared: Mapping[str, Any]) -> Row:
  where = f'recipes.{name}'
  if not re.fullmatch(r'[A-Za-z0-9_+=-]{1,80}', name) or name in _TAKEN:
    raise InputError(
      f'{name[:80]!r} cannot be the name of a row: use letters, digits and '
      f'_+=- only, and neither of {", ".join(_TAKEN)}.'
    )
  recipe = own.pop('name', None)
  known = [*recipes.__all__, _RETRAIN, _FINETUNE_ALL]
  checks.choice(f'{where}.name', recipe, known)
  if recipe == _RETRAIN:
    # Trained as `config.train` says; its seed alone is the row's.
    shared = {'seed': shared['seed']}
  defaults = _defaults(recipe)
  unused = {'trainable'} - set(defaults)
  known = [key for key in {**defaults, **shared} if key not in unused]
  for key in own:
    if key not in known:
      raise InputError(
        f'{where} has no setting {key!r}{checks.nearest(key, known)}'
      )
  settings = {**defaults, **shared, **own}
  for key in unused:
    settings.pop(key, None)

  def place(key: str) -> str:
    is_shared = key in shared and key not in own
    return f'unlearn.{key}' if is_shared else f'{where}.{key}'

  for key, default in defaults.items():
    checks.kind(place(key), settings[key], type(default))
  check_shared(settings, place)
  said = _UNITS & set(re.split('[_+=-]', name))
  if 'over' in settings and said - {settings['over']}:
    raise InputError(
      f'{where} counts {settings["over"]}, and not {said.pop()} as its name '
      'says: give the row another name, or change its over.'
    )
  if settings.get('augment') and settings['batch_stats'] == 'frozen':
    raise InputError(
      f'{where} has augment = True, which has no effect where batch_stats = '
      "'frozen': set augment = False or batch_stats = 'retain'."
    )
  if settings.get('cache_features') and settings['batch_stats'] != 'frozen':
    raise InputError(
      f'{where} has cache_features = True, but features change with the batch '
      "statistics: set batch_stats = 'frozen' or cache_features = False."
    )
  try:
    method = _method(recipe, tuple((key, settings[key]) for key in defaults))
  except (TypeError, ValueError) as error:
    raise InputError(f'{where}: {error}') from error
  if settings.get('over') == 'layers' and not said:
    raise InputError(
      f'{where} counts layers, where the paper counts leaves: say so in its '
      f'name, such as {name}_layers.'
    )
  return Row(name, recipe, method, settings)


def _defaults(recipe: str) -> dict[str, Any]:
  """The hyper-parameters of a recipe, with their defaults."""
  if recipe == _RETRAIN:
    return {}
  if recipe == _FINETUNE_ALL:
    # Nothing is forgotten, so nothing is held to the original either.
    return {k: v for k, v in _defaults('finetune').items() if k != 'js_weight'}
  parameters = inspect.signature(getattr(recipes, recipe)).parameters
  return {key: parameter.default for key, parameter in parameters.items()}


# One object for equal rows, so that what XLA compiled of one serves all.
@functools.lru_cache(maxsize=256)
def _method(
  recipe: str, settings: tuple[tuple[str, Any], ...]
) -> UnlearningMethod | None:
  settings = dict(settings)
  if recipe == _RETRAIN:
    return None
  if recipe == _FINETUNE_ALL:
    return recipes.finetune(js_weight=0.0, **settings)
  return getattr(recipes, recipe)(**settings)
