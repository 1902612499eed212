"""What the paper does not print: how much ε and the learning rate matter.

  python -m jaxunlearn.launch --config=configs/paper/sensitivity.py:small \
      --config.data.dir=DIR

One run with a row for each setting: ε of Top-K and Random-k at the learning
rate of the other configs, then the learning rate at ε = 0.1. About 1.4
hours on one CPU core.
"""

from ml_collections import ConfigDict

from configs import common
from configs.paper import settings

FACTORS = (0.01, 0.03, 0.1, 0.3, 1.0, -0.1, -0.5, -1.0, -2.0)
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)


def get_config(size: str = settings.FULL) -> ConfigDict:
  """ResNet18, 10 % forgotten, one seed."""
  config = settings.base(size)
  config.model.width = settings.WIDTHS[size]['resnet18']
  rows = {}
  for factor in FACTORS:
    rows[f'top_k_eps{factor:.0e}'] = settings.top_k(45, factor=factor)
    rows[f'random_k_eps{factor:.0e}'] = settings.random_k(factor=factor)
  for rate in RATES:
    how = {'learning_rate': rate}
    rows[f'finetune_lr{rate:.0e}'] = {'name': 'finetune', **how}
    rows[f'top_k_lr{rate:.0e}'] = settings.top_k(45, **how)
    rows[f'random_k_lr{rate:.0e}'] = settings.random_k(**how)
  config.recipes = common.rows(rows)
  return config.lock()
