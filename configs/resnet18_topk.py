"""The paper's Top-K: ResNet18, CIFAR-10, 10 % forgotten, K = 45, λ = 0.1.

  python -m jaxunlearn.launch --config=configs/resnet18_topk.py

`configs/resnet18_topk.py:scalars` reads K = 45 as scalars, not as leaves.
"""

from ml_collections import ConfigDict

from configs import common


def get_config(over: str = 'leaves') -> ConfigDict:
  """What the paper does not print: ε, learning rate, batch, source epochs."""
  if over not in ('leaves', 'scalars'):
    raise ValueError(
      f'configs/resnet18_topk.py takes :leaves or :scalars, not :{over}.'
    )
  config = common.get_config()
  config.data.source = 'tfds:cifar10'
  config.model = {'name': 'resnet18', 'width': 64, 'dtype': 'float32'}
  config.train.epochs = 30
  config.unlearn.epochs = 50
  config.recipes = common.rows(
    {
      'top_k': {
        'name': 'top_k',
        'k': 45,
        'over': over,
        'factor': 0.1,
        'js_weight': 0.1,
      },
    }
  )
  return config.lock()
