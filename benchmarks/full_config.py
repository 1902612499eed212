"""Table II at full size, as far as minutes on one card reach.

  python -m jaxunlearn.launch --config=benchmarks/full_config.py:FILE

FILE is CIFAR-10 as `npz:` takes it. As `configs/paper/table2.py:full`, but in
bfloat16, with 3 epochs of fine-tuning instead of 50, and one seed; 10 % first.
"""

from ml_collections import ConfigDict

from configs import common
from configs.paper import settings, table2

_FRACTIONS = (0.1, 0.2, 0.05, 0.15)


def get_config(file: str) -> ConfigDict:
  """ResNet18 at four ratios."""
  config = table2.get_config(settings.FULL).unlock()
  rows = {**settings.strategies(), **settings.controls()}
  # These three share a step, the longest to compile.
  first = {name: rows[name] for name in ('top_k', 'random_k', 'finetune')}
  config.recipes = common.rows({**first, **rows})
  config.data.source = f'npz:{file}'
  config.model.dtype = 'bfloat16'
  config.unlearn.epochs = 3
  config.matrix = common.rows(
    {
      f'resnet18-{100 * fraction:g}-seed0': settings.cell(
        settings.FULL, 'resnet18', fraction, 0
      )
      for fraction in _FRACTIONS
    }
  )
  return config.lock()
