import numpy as np
import pytest

from jaxunlearn import evaluation


@pytest.mark.parametrize('size', [1e-3, 1.0, 1e3])
def test_logits_that_tell_no_image_from_another(size):
  rng = np.random.default_rng(0)
  same = np.tile(size * rng.normal(size=10), (7, 1)).astype(np.float32)
  assert evaluation.same_logits(same)
  rounded = same * (1 + 1e-6 * rng.normal(size=same.shape))
  assert evaluation.same_logits(rounded)
  assert evaluation.same_logits(np.zeros_like(same))
  # One image of which one class is told apart is enough.
  other = same.copy()
  other[3, 4] += 0.01 * size
  assert not evaluation.same_logits(other)
