"""Figure 5: accuracy on retain minus accuracy on forget, against K.

  python -m jaxunlearn.launch --config=configs/paper/k_sweep.py:small \
      --config.data.dir=DIR

Both readings of K, leaves and scalars; K = 0 is fine-tuning alone. `:full` is
the paper's size, four ratios and 100 epochs, and wants an accelerator; `:small`
is 10 % alone and took about 7.5 hours on one core of two CPU cores, with the
other one busy. `:small,0` and `:full,0` are the same at λ = 0, of which one
seed of ResNet18 was run, in 27 minutes.
"""

from ml_collections import ConfigDict

from configs import common
from configs.paper import settings

K = {
  settings.FULL: (0, 1, 2, *range(5, 51, 5)),
  settings.SMALL: (0, 1, 2, 5, 10, 20, 30, 45, 50),
}


def get_config(argument: str = settings.FULL) -> ConfigDict:
  """Four networks; the argument is SIZE or SIZE,λ."""
  size, how = settings.with_weight(argument)
  config = settings.base(size)
  config.reference = 'none'
  if size == settings.FULL:
    config.unlearn.epochs = 100
  config.recipes = common.rows(
    {
      f'top_k_{k}_{over}': settings.top_k(k, over, **how)
      for over in ('leaves', 'scalars')
      for k in K[size]
      # Of K = 0 there is one reading.
      if k or over == 'leaves'
    }
  )
  fractions = settings.FRACTIONS if size == settings.FULL else (0.1,)
  config.matrix = settings.matrix(size, settings.TOP_K, fractions)
  config.paper = ('figure5',)
  return config.lock()
