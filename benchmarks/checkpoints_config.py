"""Trains the CIFAR-10 stand-in and a row, with checkpoints and without.

With --config=benchmarks/checkpoints_config.py:60, and with :0, each with a
--workdir of its own.
"""

from ml_collections import ConfigDict

from configs import cifar10_small_topk, common


def get_config(seconds: str) -> ConfigDict:
  """So many seconds between two checkpoints; 0: none."""
  config = cifar10_small_topk.get_config().unlock()
  config.reference = 'none'
  config.save.seconds = float(seconds)
  config.unlearn.epochs = 1
  config.recipes = common.rows(
    {'finetune': {'name': 'finetune', 'js_weight': 0.1}}
  )
  return config.lock()
