"""Measures of forgetting and of what is retained, from logits."""

from jaxunlearn.metrics.accuracy import (
  accuracy,
  forgetting_rate,
  memory_retention_rate,
)
from jaxunlearn.metrics.convergence import converged_epoch
from jaxunlearn.metrics.divergence import similarity

__all__ = [
  'accuracy',
  'converged_epoch',
  'forgetting_rate',
  'memory_retention_rate',
  'similarity',
]
