"""The gradients written out for a CPU are those of XLA's own convolution."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn.models import convolution

LAYOUT = ('NHWC', 'HWIO', 'NHWC')

# Images [n, h, w, c], kernel, features, strides, padding.
CASES = {
  '3x3': ((6, 8, 8, 4), (3, 3), 5, (1, 1), ((1, 1), (1, 1))),
  'strided': ((6, 8, 8, 4), (3, 3), 5, (2, 2), ((1, 1), (1, 1))),
  'strided over odd sizes': ((6, 9, 7, 4), (3, 3), 5, (2, 2), ((1, 1), (1, 1))),
  '1x1': ((6, 8, 8, 4), (1, 1), 5, (1, 1), ((0, 0), (0, 0))),
  '1x1 strided': ((6, 8, 8, 4), (1, 1), 5, (2, 2), ((0, 0), (0, 0))),
  'unlike sides': ((5, 7, 9, 3), (5, 3), 2, (1, 2), ((2, 1), (0, 2))),
  'no padding': ((5, 8, 8, 3), (3, 3), 2, (1, 1), ((0, 0), (0, 0))),
  'one example': ((1, 8, 8, 4), (3, 3), 5, (1, 1), ((1, 1), (1, 1))),
}


def operands(case, dtype=jnp.float32):
  shape, size, features, strides, padding = case
  keys = jax.random.split(jax.random.key(0), 3)
  image = jax.random.normal(keys[0], shape, dtype)
  kernel = jax.random.normal(keys[1], (*size, shape[-1], features), dtype)
  change = jax.eval_shape(
    lambda x, w: own(x, w, strides, padding), image, kernel
  )
  return image, kernel, jax.random.normal(keys[2], change.shape, dtype)


def own(image, kernel, strides, padding):
  return jax.lax.conv_general_dilated(
    image, kernel, strides, padding, dimension_numbers=LAYOUT
  )


def with_gradients(function, case, dtype=jnp.float32):
  """The result, and the gradients of image and kernel."""
  *_, strides, padding = case

  @jax.jit
  def run(image, kernel, change):
    out, back = jax.vjp(
      lambda x, w: function(x, w, strides, padding), image, kernel
    )
    return out, *back(change)

  return run(*operands(case, dtype))


@pytest.mark.parametrize('rows', [None, 4], ids=['whole', 'sliced'])
@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_it_is_the_convolution_of_xla(monkeypatch, case, rows):
  if rows:
    image, _, change = operands(case)
    row = (image.nbytes + change.nbytes) // len(image)
    monkeypatch.setattr(convolution, '_SLICE_BYTES', rows * row)
  functions = convolution.convolve, own
  found, wanted = (with_gradients(f, case) for f in functions)
  assert np.array_equal(found[0], wanted[0])
  for ours, theirs in zip(found[1:], wanted[1:], strict=True):
    scale = np.abs(theirs).max()
    np.testing.assert_allclose(ours / scale, theirs / scale, atol=2e-6)


def test_a_narrow_dtype_is_summed_in_a_wide_one(monkeypatch):
  case = (64, 8, 8, 4), *CASES['3x3'][1:]
  monkeypatch.setattr(convolution, '_SLICE_BYTES', 1)
  *_, found = with_gradients(convolution.convolve, case, jnp.bfloat16)
  wide = [x.astype(jnp.float32) for x in operands(case, jnp.bfloat16)]
  _, back = jax.vjp(lambda x, w: own(x, w, *case[3:]), *wide[:2])
  wanted = np.asarray(back(wide[2])[1])
  found = np.asarray(found, np.float32)
  assert np.abs(found - wanted).max() < 2**-8 * np.abs(wanted).max()


def test_it_is_batched_over_models():
  *_, strides, padding = case = CASES['strided']
  image, kernel, _ = operands(case)
  kernels = jnp.stack([kernel, 2 * kernel])

  def loss(kernel):
    return jnp.sum(convolution.convolve(image, kernel, strides, padding) ** 2)

  one, two = jax.vmap(jax.grad(loss))(kernels)
  np.testing.assert_allclose(two, 2 * one, rtol=1e-5, atol=1e-3)
  np.testing.assert_allclose(one, jax.grad(loss)(kernel), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize('forward', [False, True])
def test_its_gradients_have_derivatives(forward):
  *_, strides, padding = case = CASES['3x3']
  image, kernel, _ = operands(case)
  ones = jnp.ones_like(kernel)

  def hessian_product(function):
    def loss(kernel):
      return jnp.sum(function(image, kernel, strides, padding) ** 4)

    def along(kernel):
      return jnp.vdot(jax.grad(loss)(kernel), ones)

    if forward:
      return np.asarray(jax.jvp(jax.grad(loss), (kernel,), (ones,))[1])
    return np.asarray(jax.grad(along)(kernel))

  ours, theirs = hessian_product(convolution.convolve), hessian_product(own)
  assert np.abs(ours - theirs).max() < 1e-5 * np.abs(theirs).max()


def test_other_devices_have_xlas_own(monkeypatch):
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  *_, strides, padding = case = CASES['3x3']
  image, kernel, _ = operands(case)
  program = jax.make_jaxpr(
    lambda x, w: convolution.convolve(
      x, w, strides, padding, dimension_numbers=LAYOUT
    )
  )(image, kernel)
  assert [eqn.primitive.name for eqn in program.eqns] == [
    'conv_general_dilated'
  ]


@pytest.mark.parametrize(
  'how',
  [
    {'kernel_dilation': 2},
    {'input_dilation': 2, 'padding': 1},
    {'feature_group_count': 3},
    {'padding': 'SAME'},
    {'padding': 'VALID', 'strides': 2},
    {'precision': jax.lax.Precision.HIGHEST},
  ],
)
def test_what_is_not_plain_is_what_linen_makes_of_it(how):
  image = jnp.asarray(np.random.default_rng(0).random((2, 8, 8, 3)))
  ours, theirs = (
    nn.Conv(6, (3, 3), **how, **own)
    for own in ({'conv_general_dilated': convolution.convolve}, {})
  )
  variables = theirs.init(jax.random.key(0), image)
  np.testing.assert_array_equal(
    ours.apply(variables, image), theirs.apply(variables, image)
  )


def test_no_images_have_no_gradient():
  kernel = jnp.ones((3, 3, 2, 4))
  gradient = jax.grad(
    lambda k: convolution.convolve(
      jnp.zeros((0, 8, 8, 2)),
      k,
      (1, 1),
      ((1, 1), (1, 1)),
      dimension_numbers=LAYOUT,
    ).sum()
  )(kernel)
  np.testing.assert_array_equal(gradient, jnp.zeros_like(kernel))
