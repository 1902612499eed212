"""Table II at full size with the paper's 50 epochs, at 10 % and for four rows.

  python -m jaxunlearn.launch --config=benchmarks/fifty_config.py:FILE

FILE is CIFAR-10 as `npz:` takes it. As `configs/paper/table2.py:full`, but in
bfloat16, one seed, and the rows in the order in which they matter where time
may be over before the last.
"""

from ml_collections import ConfigDict

from configs import common
from configs.paper import settings, table2

_ROWS = ('top_k', 'finetune', 'top_k_js0', 'random_k')


def get_config(file: str) -> ConfigDict:
  """ResNet18 at 10 %."""
  config = table2.get_config(settings.FULL).unlock()
  rows = {**settings.strategies(), **settings.controls()}
  config.recipes = common.rows({name: rows[name] for name in _ROWS})
  config.data.source = f'npz:{file}'
  config.model.dtype = 'bfloat16'
  config.matrix = common.rows(
    {'resnet18-10-seed0': settings.cell(settings.FULL, 'resnet18', 0.1, 0)}
  )
  return config.lock()
