import numpy as np
import pytest

from jaxunlearn.data import moments, stored


@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_moments_are_those_of_the_whole_however_it_is_parted(
  monkeypatch, dtype
):
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (101, 8, 8, 3), np.uint8)
  images[:40] //= 3
  scaled = images / 255
  if dtype is np.float32:
    images = scaled = scaled.astype(dtype)
  whole = moments.per_channel(images)
  expected = [f((0, 1, 2), dtype=np.float64) for f in (scaled.mean, scaled.std)]
  np.testing.assert_allclose(whole, expected, rtol=1e-12)
  monkeypatch.setattr(stored, '_AT_ONCE', images.nbytes // 7)
  parts = moments.per_channel(images)
  np.testing.assert_allclose(parts, whole, rtol=1e-12)
  if dtype is np.uint8:
    np.testing.assert_array_equal(parts, whole)
