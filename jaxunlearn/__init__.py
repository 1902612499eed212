"""Machine unlearning for JAX.

An unlearning method is a composition of parts over a parameter pytree: a
selector, a perturber, an objective, and what may be trained. See
`jaxunlearn.method.UnlearningMethod`, and `jaxunlearn.recipes` for the named
ones.
"""

import importlib
from types import ModuleType

from jaxunlearn import (
  losses,
  masks,
  metrics,
  objectives,
  optim,
  partition,
  perturbers,
  predict,
  recipes,
  scores,
  selectors,
  train,
)
from jaxunlearn.many import unlearn_many
from jaxunlearn.method import UnlearningMethod, unlearn
from jaxunlearn.types import (
  Batch,
  Context,
  Mask,
  Model,
  Params,
  Scores,
  Selection,
  Source,
  State,
  Task,
  Variables,
)

__all__ = [
  'Batch',
  'Context',
  'Mask',
  'Model',
  'Params',
  'Scores',
  'Selection',
  'Source',
  'State',
  'Task',
  'UnlearningMethod',
  'Variables',
  'losses',
  'masks',
  'metrics',
  'models',
  'objectives',
  'optim',
  'partition',
  'perturbers',
  'predict',
  'probes',
  'recipes',
  'scores',
  'selectors',
  'train',
  'unlearn',
  'unlearn_many',
]

__version__ = '0.1.0'

# These import Flax, a tenth of a second that who brings a network need not pay.
_WHEN_USED = ('models', 'probes')


def __getattr__(name: str) -> ModuleType:
  if name in _WHEN_USED:
    return importlib.import_module(f'jaxunlearn.{name}')
  raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
