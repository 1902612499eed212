"""Table II: accuracy, rates, similarity and time, 4 ratios, 7 strategies.

  python -m jaxunlearn.launch --config=configs/paper/table2.py:small \
      --config.data.dir=DIR

`:full` is the paper's size and wants an accelerator. Besides the paper's rows,
three controls: fine-tuning alone, Top-K without the JS term, and the other
reading of K = 45. Draws Tables I and II. Times mean something on a quiet
machine only. `:small` took about 2.3 hours on one core of two CPU cores, with
the other one busy. In its 3 epochs convergence can be seen in the first alone,
so most rows have no time to it.
"""

from ml_collections import ConfigDict

from configs import common
from configs.paper import settings


def get_config(size: str = settings.FULL) -> ConfigDict:
  """ResNet18 at four ratios, three seeds at 10 %."""
  config = settings.base(size)
  config.recipes = common.rows({**settings.strategies(), **settings.controls()})
  config.matrix = settings.matrix(size, ['resnet18'])
  config.paper = ('table1', 'table2')
  return config.lock()
