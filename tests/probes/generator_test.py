import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn.probes.generator import Generator, Up


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize(
  'size', [*((n, n) for n in (8, 9, 10, 11, 28, 31, 32, 33, 96, 224)), (9, 14)]
)
def test_noise_has_the_shape_of_the_image(size, channels):
  def pass_through(key, image):
    module = Generator(4)
    variables = module.init(key, image, train=False)
    return module.apply(variables, image, train=False)

  image = jax.ShapeDtypeStruct((2, *size, channels), jnp.float32)
  found = jax.eval_shape(pass_through, jax.random.key(0), image)
  assert found.shape == image.shape and found.dtype == jnp.float32


def test_its_layers_are_those_of_the_paper():
  image = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
  shapes = jax.eval_shape(
    lambda key, x: Generator(5).init(key, x, train=False),
    jax.random.key(0),
    image,
  )
  kernels = {
    name: layer['kernel'].shape
    for name, layer in shapes['params'].items()
    if 'kernel' in layer
  }
  assert kernels == {
    'conv1': (3, 3, 3, 5),
    'conv2': (3, 3, 5, 10),
    'conv3': (3, 3, 10, 20),
    'up4': (2, 2, 20, 10),
    'up5': (2, 2, 10, 5),
    'conv6': (3, 3, 5, 3),
  }
  assert shapes['batch_stats'].keys() == {'norm2', 'norm3', 'norm4'}


def test_up_is_a_transposed_convolution():
  x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
  kernel = jax.random.normal(jax.random.key(1), (2, 2, 5, 6))
  found = Up(6).apply({'params': {'kernel': kernel}}, x)
  assert found.shape == (2, 6, 8, 6)
  # Flax's runs over the kernel mirrored.
  theirs = nn.ConvTranspose(6, (2, 2), (2, 2), use_bias=False).apply(
    {'params': {'kernel': kernel[::-1, ::-1]}}, x
  )
  np.testing.assert_allclose(found, theirs, atol=1e-5)
