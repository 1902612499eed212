"""Four recipes on scikit-learn's digits, 10 % forgotten.

python -m jaxunlearn.launch --config=configs/digits_topk.py
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
  """The main job, small enough for any machine."""
  config = common.get_config()
  config.recipes = common.rows(
    {
      'finetune': {'name': 'finetune', 'js_weight': 0.1},
      'top_k': {
        'name': 'top_k',
        'k': 4,
        'over': 'leaves',
        'factor': 0.1,
        'js_weight': 0.1,
      },
      'random_k': {
        'name': 'random_k',
        'fraction': 0.05,
        'factor': -2.0,
        'js_weight': 0.1,
      },
      'random_top_k': {
        'name': 'random_top_k',
        'fraction': 0.05,
        'factor': -1.0,
        'js_weight': 0.1,
      },
    }
  )
  return config.lock()
