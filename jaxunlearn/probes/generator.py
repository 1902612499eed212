"""The autoencoder that makes noise for images, and images under noise."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxunlearn import once
from jaxunlearn.models import layers
from jaxunlearn.models.linen import to_float
from jaxunlearn.types import Array, Variables

__all__ = ['Generator', 'Up', 'add', 'init', 'perturb']


class Generator(nn.Module):
  """Images to noise of the same shape, in [-1, 1].

  The paper's layers; at width w:

    Conv 3x3, w - LeakyReLU
    Conv 3x3, stride 2, 2w - BatchNorm - LeakyReLU
    Conv 3x3, stride 2, 4w - BatchNorm - LeakyReLU
    ConvTranspose 2x2, stride 2, 2w - BatchNorm - ReLU
    ConvTranspose 2x2, stride 2, w - ReLU
    Conv 3x3, as many channels as the image - Tanh

  Widths, kernels and strides are not printed; these are ours. The strided
  convolutions round sizes up, so the decoder's picture is up to 3 pixels larger
  than the image and is cut at its lower right: any size will do, odd ones too.
  The last convolution starts at 0. So training starts at the images themselves,
  and noise comes where the loss asks for it.

  Attributes:
    width: channels of the first convolution.
  """

  width: int = 32

  @nn.compact
  def __call__(self, image: Array, train: bool) -> Array:
    """Images [n, h, w, c], float in [0, 1], to noise in [-1, 1]."""
    height, width, channels = image.shape[1:]

    def down(x: Array, features: int, name: str) -> Array:
      return nn.Conv(features, (3, 3), 2, use_bias=False, name=name)(x)

    def norm(x: Array, name: str) -> Array:
      return layers.BatchNorm(name=name)(x, train)

    x = nn.leaky_relu(nn.Conv(self.width, (3, 3), name='conv1')(image))
    x = nn.leaky_relu(norm(down(x, 2 * self.width, 'conv2'), 'norm2'))
    x = nn.leaky_relu(norm(down(x, 4 * self.width, 'conv3'), 'norm3'))
    x = nn.relu(norm(Up(2 * self.width, name='up4')(x), 'norm4'))
    x = nn.relu(Up(self.width, name='up5')(x))
    x = x[:, :height, :width]
    still = nn.initializers.zeros
    x = nn.Conv(channels, (3, 3), kernel_init=still, name='conv6')(x)
    return jnp.tanh(x)


class Up(nn.Module):
  """A transposed convolution, 2x2 with stride 2, without bias.

  Where neither kernel places overlap nor strides leave gaps it is a matrix
  product, and this is how it is computed: on a CPU the gradient of
  `nn.ConvTranspose` takes about 20 times as long.

  Attributes:
    features: channels of the result.
  """

  features: int

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """[n, h, w, c] to [n, 2h, 2w, features]."""
    n, height, width, channels = x.shape
    init = nn.initializers.lecun_normal(batch_axis=(0, 1))
    kernel = self.param('kernel', init, (2, 2, channels, self.features))
    x = jnp.einsum('nhwc,ijcf->nhiwjf', x, kernel)
    return x.reshape(n, 2 * height, 2 * width, self.features)


@functools.partial(once.jit, static_argnums=0)
def init(generator: Generator, key: Array, images: Array) -> Variables:
  """The variables of a generator for images [n, h, w, c]."""
  return generator.init(key, to_float(images), train=False)


@jax.jit
def perturb(
  variables: Variables, max_noise: float, images: Array
) -> tuple[Array, Array]:
  """(images under noise, noise) of a generator in eval mode, as in `add`."""
  image = to_float(images)
  width = variables['params']['conv1']['kernel'].shape[-1]
  noise = max_noise * Generator(width).apply(variables, image, train=False)
  return add(image, noise), noise


def add(image: Array, noise: Array) -> Array:
  """Images under noise, clipped to [0, 1]."""
  return jnp.clip(image + noise, 0, 1)
