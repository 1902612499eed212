"""When a model has converged."""

from collections.abc import Sequence

__all__ = ['converged_epoch']


def converged_epoch(
  accuracies: Sequence[float],
  target: float,
  fraction: float = 0.99,
  patience: int = 2,
  min_gain: float = 1e-3,
) -> int | None:
  """The first epoch that is good enough and no longer rising.

  Example:
    >>> converged_epoch([0.5, 0.98, 0.995, 0.9955, 0.9952], target=1.0)
    3

  Args:
    accuracies: on retain, after epoch 1, 2, ...
    target: the accuracy to hold it against, the original's on retain.
    fraction: of the target that must be reached.
    patience: epochs to look ahead.
    min_gain: a rise of more than this within them means: still rising.

  Returns:
    The number of the epoch, from 1; None where it is not reached, or where too
    few epochs follow to tell.

  Reference:
    Zuo et al. (2025) measure time "to convergence" without a definition; this
    one is ours, the same for every method and for retraining.
  """
  for epoch, value in enumerate(accuracies, 1):
    ahead = accuracies[epoch : epoch + patience]
    if len(ahead) < patience:
      return None
    if value >= fraction * target and max(ahead) <= value + min_gain:
      return epoch
  return None
