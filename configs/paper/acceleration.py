"""Figure 7: time to retrain / time to unlearn, each to convergence.

  python -m jaxunlearn.launch --config=configs/paper/acceleration.py:small \
      --config.data.dir=DIR

Besides the paper's strategies, the other reading of K = 45; λ = 0 is
`--config.recipes.top_k.js_weight=0`, and so of each row, in a workdir of its
own. At the small size both were run for ResNet18 at 10 % alone. Times mean
something on a quiet machine only, and absolute ones on an accelerator only.
`:full` is the paper's size; `:small` fine-tunes for 12 epochs at most, because
3 are too few to see convergence in. Its cells of ResNet18 took 10 to 22 minutes
each on one core of two CPU cores, with the other one busy, and those of VGG19
at 5 and 10 % about 21, those of DenseNet121 and GoogLeNet about 40, with tests
beside them. VGG19 at 15 and 20 % was not run, nor the other two at 20 %.
"""

from ml_collections import ConfigDict

from configs import common
from configs.paper import settings


def get_config(size: str = settings.FULL) -> ConfigDict:
  """Four networks at four ratios."""
  config = settings.base(size)
  if size == settings.SMALL:
    config.unlearn.epochs = 12
  config.unlearn.stop = 'converged'
  scalars = {'top_k_scalars': settings.controls()['top_k_scalars']}
  config.recipes = common.rows({**settings.strategies(), **scalars})
  config.matrix = settings.matrix(
    size, settings.TOP_K, own_k=('top_k', *scalars)
  )
  config.paper = ('table1', 'figure7')
  return config.lock()
