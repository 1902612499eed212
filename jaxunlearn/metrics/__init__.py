"""Measures of forgetting and of what is retained; and of images."""

from jaxunlearn.metrics.accuracy import (
  accuracy,
  forgetting_rate,
  memory_retention_rate,
)
from jaxunlearn.metrics.convergence import converged_epoch
from jaxunlearn.metrics.divergence import similarity
from jaxunlearn.metrics.images import psnr, ssim

__all__ = [
  'accuracy',
  'converged_epoch',
  'forgetting_rate',
  'memory_retention_rate',
  'psnr',
  'similarity',
  'ssim',
]
