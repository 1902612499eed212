import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxunlearn import metrics


def pair(height, width, channels):
  """A smooth picture, and the same under noise."""
  i, j, k = np.mgrid[:height, :width, :channels]
  image = 0.5 + 0.4 * np.sin(0.3 * i + 0.2 * j * (k + 1))
  noise = 0.1 * np.random.default_rng(0).standard_normal(image.shape)
  return image, np.clip(image + noise, 0, 1)


def batch(*images):
  return [jnp.asarray(image[None], jnp.float32) for image in images]


def reference(image, other, side):
  """Wang et al. by scipy, on a window of any side."""

  def mean(x):
    radius = side // 2
    x = ndimage.gaussian_filter(x, 1.5, radius=radius, axes=(0, 1))
    return x[radius : len(x) - radius, radius : x.shape[1] - radius]

  x, y = mean(image), mean(other)
  var_x, var_y = mean(image**2) - x**2, mean(other**2) - y**2
  covariance = mean(image * other) - x * y
  above = (2 * x * y + 1e-4) * (2 * covariance + 9e-4)
  below = (x**2 + y**2 + 1e-4) * (var_x + var_y + 9e-4)
  return (above / below).mean()


# scikit-image 0.26: structural_similarity(gaussian_weights=True, sigma=1.5,
# use_sample_covariance=False, data_range=1), peak_signal_noise_ratio.
SCIKIT_IMAGE = [
  ((16, 20, 3), 0.8593995195, 20.4956166552),
  ((11, 11, 1), 0.8472797951, 20.8241610805),
  ((28, 33, 1), 0.7709424860, 20.5200233249),
]


@pytest.mark.parametrize(('shape', 'ssim', 'psnr'), SCIKIT_IMAGE)
def test_both_are_those_of_scikit_image(shape, ssim, psnr):
  x, y = batch(*pair(*shape))
  np.testing.assert_allclose(metrics.ssim(x, y), [ssim], atol=1e-5)
  np.testing.assert_allclose(metrics.psnr(x, y), [psnr], rtol=1e-6)


@pytest.mark.parametrize(
  ('shape', 'side'),
  [((14, 12, 3), 11), ((8, 8, 1), 7), ((9, 30, 1), 9), ((10, 10, 3), 9)],
)
def test_a_small_image_has_the_largest_odd_window_that_fits(shape, side):
  x, y = pair(*shape)
  found = metrics.ssim(*batch(x, y))
  np.testing.assert_allclose(found, [reference(x, y, side)], atol=1e-5)


def test_each_image_has_its_own_value():
  pairs = [batch(*pair(8, 9, 1)), batch(*pair(8, 9, 1)[::-1])]
  pairs[1][1] = pairs[1][1] / 2
  x, y = (jnp.concatenate(images) for images in zip(*pairs, strict=True))
  for metric in (metrics.psnr, metrics.ssim):
    alone = jnp.concatenate([metric(*images) for images in pairs])
    assert alone[0] > alone[1]
    np.testing.assert_allclose(metric(x, y), alone, rtol=1e-5)


def test_identical_images_have_infinite_psnr_and_ssim_1():
  x = jax.random.uniform(jax.random.key(0), (3, 13, 12, 3))
  assert (metrics.psnr(x, x) == np.inf).all()
  np.testing.assert_allclose(metrics.ssim(x, x), np.ones(3), rtol=1e-6)


@pytest.mark.parametrize('metric', [metrics.psnr, metrics.ssim])
def test_what_cannot_be_compared_is_refused(metric):
  x = jnp.zeros((2, 8, 8, 1))
  with pytest.raises(ValueError, match=r'not \(2, 8, 8, 1\) and \(1, 8'):
    metric(x, x[:1])
  with pytest.raises(ValueError, match='divide uint8 by 255'):
    metric(x, x.astype(jnp.uint8))
