"""The digits with one row, for tests that need no more of a run."""

from configs import common, digits_topk


def get_config(row):
  config = digits_topk.get_config().unlock()
  config.recipes = common.rows({row: {'name': row}})
  return config.lock()
