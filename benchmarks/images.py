"""Made-up images: what is in them costs nothing."""

import jax.numpy as jnp
import numpy as np

from jaxunlearn.types import Resident

CLASSES = 10


def examples(count: int, seed: int) -> Resident:
  """Random images and labels, of CIFAR's shape."""
  rng = np.random.default_rng(seed)
  image = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
  label = rng.integers(0, CLASSES, count)
  return Resident(jnp.asarray(image), jnp.asarray(label, jnp.int32))
