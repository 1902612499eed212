import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn.data.augment import crop_and_flip


def numbered(n=64, size=6, dtype=jnp.uint8):
  """Images whose pixels are all different and none 0."""
  image = 1 + jnp.arange(size * size * 2).reshape(1, size, size, 2)
  return jnp.tile(image, (n, 1, 1, 1)).astype(dtype)


def windows(image, pad):
  padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
  size = image.shape[0]
  for flip in (False, True):
    for row in range(2 * pad + 1):
      for column in range(2 * pad + 1):
        crop = padded[row : row + size, column : column + size]
        yield (flip, row, column), crop[:, ::-1] if flip else crop


@pytest.mark.parametrize('dtype', [jnp.uint8, jnp.float32, jnp.bfloat16])
def test_each_image_is_shifted_and_mirrored_on_its_own(dtype):
  image = numbered(dtype=dtype)
  found = crop_and_flip(jax.random.key(0), image, pad=1)
  assert found.shape == image.shape and found.dtype == dtype
  known = {x.tobytes(): place for place, x in windows(np.asarray(image[0]), 1)}
  places = [known[np.asarray(x).tobytes()] for x in found]
  # 18 windows, 64 draws.
  assert len(set(places)) > 12
  assert 16 < sum(flip for flip, _, _ in places) < 48


def test_the_key_decides():
  image = numbered()
  first = crop_and_flip(jax.random.key(0), image)
  np.testing.assert_array_equal(first, crop_and_flip(jax.random.key(0), image))
  assert (first != crop_and_flip(jax.random.key(1), image)).any()


def test_without_padding_it_only_mirrors():
  image = numbered(8)
  found = crop_and_flip(jax.random.key(0), image, pad=0)
  either = (found == image) | (found == image[:, :, ::-1])
  assert either.all()
