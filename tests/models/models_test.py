import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxunlearn import models

# Width, height and width of an image.
SIZES = {
  'cnn': (4, 16),
  'resnet18': (2, 16),
  'vgg19': (2, 32),
  'googlenet': (8, 12),
  'densenet121': (2, 16),
}
# As in torch_parity_test.py: most of a test's time is compiling.
QUICK = {
  'xla_backend_optimization_level': 0,
  'xla_llvm_disable_expensive_passes': True,
}


def logits_of(model, variables, image):
  def forward(variables, image):
    return model.apply(variables, image, False)[0]

  return jax.jit(forward, compiler_options=QUICK)(variables, image)


@pytest.fixture(scope='module', params=models.names())
def network(request, as_if_trained):
  """A name, its model, variables, images and their logits."""
  width, size = SIZES[request.param]
  model = models.create(request.param, num_classes=7, width=width)
  image = np.random.default_rng(0).integers(
    0, 256, (3, size, size, 3), np.uint8
  )
  variables = as_if_trained(model, image)
  logits = logits_of(model, variables, image)
  return request.param, model, variables, image, logits


def test_every_name_is_tested():
  assert set(SIZES) == set(models.names())


def test_logits_are_float32_and_finite(network):
  *_, logits = network
  assert logits.shape == (3, 7) and logits.dtype == jnp.float32
  assert jnp.isfinite(logits).all()
  assert jnp.abs(logits[0] - logits[1]).max() > 0


def test_order_covers_every_leaf_once(network):
  _, model, variables, *_ = network
  # The order is found with images of another size.
  order = model.order(variables['params'])
  leaves = jax.tree.leaves_with_path(variables['params'])
  paths = {tuple(entry.key for entry in path) for path, _ in leaves}
  assert len(order) == len(set(order)) and set(order) == paths
  assert order[0] in {
    ('conv1', 'kernel'),
    ('features_0', 'kernel'),
    ('pre_layers_0', 'kernel'),
  }
  assert order[-2:] == (('fc', 'kernel'), ('fc', 'bias'))


def test_bfloat16_computes_in_it_and_keeps_float32_params_and_logits(network):
  name, _, variables, image, whole = network
  half = models.create(name, 7, width=SIZES[name][0], dtype=jnp.bfloat16)
  shapes = jax.eval_shape(half.init, jax.random.key(0), image)
  for leaf in jax.tree.leaves(shapes):
    assert leaf.dtype == jnp.float32
  logits = logits_of(half, variables, image)
  assert logits.dtype == jnp.float32
  assert (logits != whole).any()
  np.testing.assert_allclose(logits, whole, atol=0.1)


def bfloat16_step(name, image):
  """(variables) -> the loss, and the variables a step further."""
  model = models.create(name, 7, width=SIZES[name][0], dtype=jnp.bfloat16)
  label = jnp.array([0, 3, 6])

  def loss(params, variables):
    given = {**variables, 'params': params}
    logits, given = model.apply(given, image, True, jax.random.key(0))
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, label)
    return losses.mean(), given

  def step(variables):
    derive = jax.value_and_grad(loss, has_aux=True)
    (value, after), grad = derive(variables['params'], variables)
    down = jax.tree.map(lambda p, g: p - 0.01 * g, variables['params'], grad)
    return value, {**after, 'params': down}

  return step


def test_bfloat16_trains_what_is_float32(network):
  name, _, variables, image, _ = network
  value, after = jax.eval_shape(bfloat16_step(name, image), variables)
  assert value.dtype == jnp.float32
  assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(
    lambda x: (x.shape, x.dtype), variables
  )


# The other two compile for 20 seconds each; their step is traced above.
@pytest.mark.parametrize('network', ['cnn', 'resnet18', 'vgg19'], indirect=True)
def test_bfloat16_trains(network):
  name, _, variables, image, _ = network
  step = jax.jit(bfloat16_step(name, image), compiler_options=QUICK)
  found = []
  for _ in range(4):
    value, variables = step(variables)
    found.append(float(value))
  assert np.isfinite(found).all() and found[-1] < found[0], found


def test_an_unknown_name_is_refused():
  with pytest.raises(ValueError, match="no network 'vgg'; there are cnn, resn"):
    models.create('vgg', 10)
