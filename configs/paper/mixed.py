"""Figure 8: accuracy on retain by epoch, the mixed strategy beside the others.

  python -m jaxunlearn.launch --config=configs/paper/mixed.py:small \
      --config.data.dir=DIR

`:full` is the paper's size, 100 epochs, and wants an accelerator. `:small`
took about 4.6 hours on one core of two CPU cores that had other work too, in
the workdir of `table2:small`, whose rows it shares; an hour of it GoogLeNet at
5, 15 and 20 %, in a workdir of its own.
"""

from ml_collections import ConfigDict

from configs import common
from configs.paper import settings


def get_config(size: str = settings.FULL) -> ConfigDict:
  """Four networks at four ratios."""
  config = settings.base(size)
  config.reference = 'none'
  if size == settings.FULL:
    config.unlearn.epochs = 100
  config.recipes = common.rows(
    {
      'top_k': settings.top_k(45),
      'random_k': settings.random_k(),
      'random_top_k': settings.random_top_k(),
    }
  )
  config.matrix = settings.matrix(size, settings.TOP_K, own_k=('top_k',))
  config.paper = ('figure8',)
  return config.lock()
