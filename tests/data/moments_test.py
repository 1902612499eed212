import numpy as np

from jaxunlearn.data import moments


def test_moments_in_parts_are_those_of_the_whole(monkeypatch):
  images = np.random.default_rng(0).integers(0, 256, (101, 8, 8, 3), np.uint8)
  images[:40] //= 3
  whole = moments.per_channel(images)
  monkeypatch.setattr(moments, '_AT_ONCE', images.nbytes // 7)
  parts = moments.per_channel(images)
  np.testing.assert_allclose(parts, whole, rtol=1e-12)
  np.testing.assert_array_equal(
    whole[0], images.mean((0, 1, 2), np.float64) / 255
  )
