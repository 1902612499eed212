"""Four recipes on scikit-learn's digits, 10 % forgotten.

  python -m jaxunlearn.launch --config=configs/digits_topk.py

Under a minute on two CPU cores, most of it compiling. Seeds 0, one run, jax
0.10.2 on a CPU: accuracy on the 144 forgotten digits 100 % originally, 97.92 %
retrained, 99.31 % after fine-tuning alone, 100 % after Top-K, 98.61 % after
Random-k (ε = -2), 98.61 % after Random-TopK (ε = -1). Digits are easy: a model
reads one that it never saw nearly as well, so there is little to forget.
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
