"""What report.json holds: schema 1, stated as a table and checked by it."""

import math
import types
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxunlearn import checks

__all__ = ['SCHEMA', 'validate']

SCHEMA = 1


class _Number(NamedTuple):
  low: float = -math.inf
  high: float = math.inf
  whole: bool = False
  null: bool = True


class _Word(NamedTuple):
  choices: tuple[str, ...] = ()
  null: bool = False


class _Table(NamedTuple):
  """Named entries, of which all but the optional must be there; more may be."""

  entries: Mapping[str, Any]
  null: bool = False
  optional: Mapping[str, Any] = types.MappingProxyType({})


class _List(NamedTuple):
  """Any number of entries of the same kind."""

  entry: Any


class _Each(NamedTuple):
  """Any names, each with an entry of the same kind."""

  entry: Any
  null: bool = False


_ANYTHING = object()  # of strict JSON
_RATE = _Number(0.0, 1.0)
_TIME = _Number(0.0)
_COUNT = _Number(0, whole=True)
_KNOWN = _COUNT._replace(null=False)
_FLAG = object()  # true or false
# Where a run went on elsewhere: {what: [then, now]}; without a step, where a
# model was made elsewhere than the original.
_CHANGE = _Table({'step': _COUNT, 'what': _Each(_List(_ANYTHING))})
_LATER = {'failed': _Word(), 'changes': _List(_CHANGE)}

_SECTIONS = ('data', 'model', 'forget', 'train', 'unlearn', 'original')

_MODEL = _Table(
  {
    'recipe': _Word(),
    'accuracy': _Table(
      dict.fromkeys(('forget', 'retain', 'test', 'forget_true_label'), _RATE)
    ),
    # (A - A') / A is 1 at most, and negative where forget accuracy rose.
    'forgetting_rate': _Number(high=1.0),
    # A'' / A: retain accuracy may exceed the original's on forget.
    'memory_retention_rate': _Number(0.0),
    'similarity': _RATE,
    'selected': _Table(
      dict.fromkeys(
        ('scalars', 'leaves', 'total_scalars', 'total_leaves'), _KNOWN
      ),
      null=True,
    ),
    'seconds': _Table(
      dict.fromkeys(
        (
          *('select', 'perturb', 'fine_tune', 'total', 'compile'),
          'to_convergence',
        ),
        _TIME,
      )
    ),
    'epochs': _TIME,
    'converged_epoch': _TIME,
    'acceleration': _TIME,
    'gap_to_retrained': _Table(
      dict.fromkeys(('forget', 'retain', 'test', 'mean'), _RATE), null=True
    ),
    'probes': _Each(_Table({}, optional={**_LATER, 'degree': _Number()})),
    'checkpoint_sha256': _Word(null=True),
    'settings': _Each(_ANYTHING),
    'dead': _Table(
      {},
      optional={'leaves_with_gradient': _KNOWN, 'total_leaves': _KNOWN},
      null=True,
    ),
    'stopped': _Word(('epochs', 'similar', 'converged'), null=True),
  },
  optional=_LATER,
)

_REPORT = _Table(
  {
    'schema': _Number(SCHEMA, SCHEMA, whole=True, null=False),
    'request': _Table(
      {
        'dataset': _Word(),
        'dataset_sha256': _Word(null=True),
        'num_train': _KNOWN,
        'num_forget': _KNOWN,
        'forget_fraction': _RATE._replace(null=False),
        'forget_sha256': _Word(null=True),
        'seed': _Number(whole=True),
      },
      optional={'num_test': _COUNT},
    ),
    'environment': _Table(
      {
        **dict.fromkeys(('jax', 'jaxlib', 'flax', 'optax', 'device'), _Word()),
        'device_count': _KNOWN,
        'process_count': _KNOWN,
      },
      optional={'deterministic': _FLAG},
    ),
    'original': _Table({'from': _Word(), 'kept': _FLAG, 'path': _Word()}),
    'reference': _Word(('retrain', 'none')),
    'config': _Table({}, optional=dict.fromkeys(_SECTIONS, _Table({}))),
    'models': _Each(_MODEL),
  }
)


def validate(report: Mapping) -> None:
  """Checks a report against schema 1.

  Rates lie in [0, 1], times are seconds, None stands for not measured, and
  every value is one of strict JSON.

  Raises:
    ValueError: names the first path that is missing, of the wrong type or out
      of range, such as `models.top_k.accuracy.forget`.
  """
  _check(report, _REPORT, 'report')
  models = list(report['models'])
  if models[:1] != ['original']:
    raise ValueError('models.original is missing or is not the first.')
  if ('retrained' in models) != (report['reference'] == 'retrain'):
    raise ValueError(
      'models.retrained must be there exactly when reference is retrain; it '
      f'is {report["reference"]}.'
    )
  _strict(report, 'report')


def _check(value: Any, kind: Any, path: str) -> None:
  """Raises where a value is not what the table says of it."""
  if kind is _ANYTHING or (value is None and getattr(kind, 'null', False)):
    return
  match kind:
    case _Table() | _Each() if not isinstance(value, Mapping):
      raise _wrong(path, 'an object', value)
    case _Table(entries):
      for name in entries:
        if name not in value:
          raise ValueError(f'{_join(path, name)} is missing.')
      for name, entry in {**entries, **kind.optional}.items():
        if name in value:
          _check(value[name], entry, _join(path, name))
    case _List(entry):
      if not isinstance(value, list | tuple):
        raise _wrong(path, 'a list', value)
      for position, item in enumerate(value):
        _check(item, entry, f'{path}[{position}]')
    case _Each(entry):
      for name, item in value.items():
        _check(item, entry, _join(path, name))
    case _Word(choices):
      if not isinstance(value, str):
        raise _wrong(path, 'a string', value)
      if choices and value not in choices:
        raise _wrong(path, f'one of {", ".join(choices)}', value)
    case _Number(low, high, whole):
      if isinstance(value, bool) or not isinstance(
        value, int if whole else int | float
      ):
        raise _wrong(path, 'a whole number' if whole else 'a number', value)
      if not low <= value <= high:  # so is NaN
        raise _wrong(path, f'in [{low:g}, {high:g}]', value)
    case _ if not isinstance(value, bool):
      raise _wrong(path, 'true or false', value)


def _strict(value: Any, path: str) -> None:
  """Raises on what strict JSON cannot hold, wherever it lies."""
  match value:
    case None | bool():
      return
    case str() if checks.is_text(value):
      return
    # A larger one is no number that other readers of JSON keep.
    case int() if abs(value) <= 2**53:
      return
    case float() if math.isfinite(value):
      return
    case Mapping():
      for name, item in value.items():
        if not (isinstance(name, str) and checks.is_text(name)):
          raise _wrong(path, 'an object with strings as names', name)
        _strict(item, _join(path, name))
    case list() | tuple():
      for position, item in enumerate(value):
        _strict(item, f'{path}[{position}]')
    case _:
      raise _wrong(path, 'a finite value of JSON', value)


def _wrong(path: str, wanted: str, value: Any) -> ValueError:
  shown = f'{value!r:.40}' if isinstance(value, int | float | str) else ''
  return ValueError(
    f'{path} must be {wanted}, not {shown or type(value).__name__}.'
  )


def _join(path: str, name: str) -> str:
  return name if path == 'report' else f'{path}.{name}'
