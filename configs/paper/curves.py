"""Figures 1 and 6: accuracy on forget and retain by epoch.

  python -m jaxunlearn.launch --config=configs/paper/curves.py:small \
      --config.data.dir=DIR

20 % forgotten. `:full` is the paper's size and wants an accelerator. `:small`
took about 1.3 hours on one core of two CPU cores, with the other one busy, of
which half an hour trained the originals.
"""

from ml_collections import ConfigDict

from configs import common
from configs.paper import settings


def get_config(size: str = settings.FULL) -> ConfigDict:
  """Four networks at 20 %."""
  config = settings.base(size)
  config.reference = 'none'
  config.recipes = common.rows(
    {'top_k': settings.top_k(45), 'random_k': settings.random_k()}
  )
  config.matrix = settings.matrix(
    size, settings.TOP_K, (0.2,), own_k=('top_k',)
  )
  config.paper = ('figure1', 'figure6')
  return config.lock()
