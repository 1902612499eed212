import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn.models import from_linen, layers
from jaxunlearn.probes import generator, spd_gan
from jaxunlearn.probes.generator import Generator
from jaxunlearn.types import Model

SIZE = 10


def pictures():
  """A dark and a bright class of 4x5 pixels, uint8."""
  label = np.arange(SIZE) % 2
  noise = np.random.default_rng(0).integers(0, 40, (SIZE, 4, 5, 1))
  image = (60 + 100 * label[:, None, None, None] + noise).astype(np.uint8)
  return {'image': image, 'label': label}


def looks_at(columns):
  """Variables of a linear judge: is the mean of these columns above 0.5?"""
  kernel = np.zeros((4, 5))
  kernel[:, columns] = 20 / kernel[:, columns].size
  return {
    'kernel': jnp.asarray(np.stack([-kernel, kernel], -1), jnp.float32),
    'bias': jnp.array([10.0, -10.0]),
  }


def linear_apply(variables, image, train, key=None):
  del train, key
  logits = jnp.einsum('nhwc,hwk->nk', image, variables['kernel'])
  return logits + variables['bias'][None], variables


LINEAR = Model(None, linear_apply, None)
LEFT = spd_gan.judge(LINEAR, looks_at(slice(0, 2)))
RIGHT = spd_gan.judge(LINEAR, looks_at(slice(3, 5)))
SETTINGS = {'width': 4, 'learning_rate': 1e-2, 'max_noise': 0.5}


def fit(seed=0, original=LEFT, unlearned=RIGHT, num_steps=3, **kwargs):
  settings = {**SETTINGS, 'batch_size': SIZE, **kwargs}
  return spd_gan.train(
    jax.random.key(seed),
    original,
    unlearned,
    pictures(),
    num_steps=num_steps,
    **settings,
  )


@pytest.fixture(scope='module')
def trained():
  return fit(num_steps=60)


def test_it_learns_noise_that_tells_two_judges_apart(trained):
  found = spd_gan.measure(trained, LEFT, RIGHT, pictures())
  assert found['degree'] > 0.3
  assert found['accuracy_before'] == 1.0
  assert found['accuracy_original'] >= 0.9
  assert found['degree'] == pytest.approx(
    found['accuracy_original'] - found['accuracy_judged']
  )
  assert spd_gan.degree(trained, LEFT, RIGHT, pictures()) == found['degree']
  swapped = spd_gan.measure(trained, RIGHT, LEFT, pictures())
  assert swapped['degree'] == -found['degree']
  assert swapped['accuracy_before'] == 1.0


def test_a_model_has_degree_0_against_itself(trained):
  assert spd_gan.degree(trained, RIGHT, RIGHT, pictures()) == 0
  own = fit(original=LEFT, unlearned=LEFT, eta=2.0, num_steps=20)
  assert spd_gan.degree(own, LEFT, LEFT, pictures()) == 0


def test_the_noise_keeps_its_bound_and_the_images_their_range(trained):
  image = pictures()['image']
  perturbed, noise = spd_gan.perturb(trained, image)
  chex.assert_shape([perturbed, noise], (SIZE, 4, 5, 1))
  assert 0.1 < abs(noise).max() <= 0.5
  assert perturbed.min() >= 0 and perturbed.max() <= 1
  np.testing.assert_allclose(
    perturbed, np.clip(image / 255 + noise, 0, 1), atol=1e-6
  )
  # Here the clip had something to do.
  assert (image / 255 + noise).min() < -0.1


def test_uint8_and_float_images_are_the_same_images(trained):
  image = pictures()['image']
  found = spd_gan.perturb(trained, image)
  same = spd_gan.perturb(trained, (image / 255).astype(np.float32))
  chex.assert_trees_all_close(found, same, atol=1e-5)


def test_what_an_image_gets_does_not_depend_on_its_neighbours(trained):
  image = pictures()['image']
  whole, _ = spd_gan.perturb(trained, image)
  alone, _ = spd_gan.perturb(trained, image[3:4])
  np.testing.assert_allclose(whole[3:4], alone, atol=1e-6)


def cross_entropy(columns, image):
  variables = looks_at(columns)
  kernel, bias = np.asarray(variables['kernel']), np.asarray(variables['bias'])
  logits = np.einsum('nhwc,hwk->nk', image, kernel) + bias
  other = logits[np.arange(SIZE), 1 - pictures()['label']]
  own = logits[np.arange(SIZE), pictures()['label']]
  return np.log1p(np.exp(other - own)).mean()


def test_the_loss_is_that_of_algorithm_2():
  """Of the second step, by hand, on what the first one made."""
  first = fit(num_steps=1, eta=0.25)
  second = fit(num_steps=2, eta=0.25)
  image = (pictures()['image'] / 255).astype(np.float32)
  noise, _ = Generator(4).apply(
    first.variables, image, train=True, mutable=['batch_stats']
  )
  assert abs(noise).max() > 1e-3
  perturbed = np.clip(image + 0.5 * np.asarray(noise), 0, 1)
  original = cross_entropy(slice(0, 2), perturbed)
  judged = cross_entropy(slice(3, 5), perturbed)
  history = second.history
  np.testing.assert_allclose(
    history['cross_entropy_original'][1], original, rtol=1e-4
  )
  np.testing.assert_allclose(
    history['cross_entropy_judged'][1], judged, rtol=1e-4
  )
  np.testing.assert_allclose(
    history['loss'][1], original - 0.25 * judged, rtol=1e-4
  )


def test_training_starts_at_the_images_themselves():
  history = fit(num_steps=1).history
  image = jnp.asarray(pictures()['image'] / 255, jnp.float32)
  np.testing.assert_allclose(
    history['cross_entropy_judged'], [cross_entropy(slice(3, 5), image)], 1e-4
  )
  start = generator.init(Generator(4), jax.random.key(0), image[:1])
  found = spd_gan.measure(
    spd_gan.SpdGan(start, 1.0, {}), LEFT, RIGHT, pictures()
  )
  assert found['noise_l2'] == found['noise_linf'] == found['degree'] == 0
  assert found['psnr'] is None


def test_the_measures_of_noise_by_hand(trained):
  image = (pictures()['image'] / 255).astype(np.float32)
  perturbed, _ = spd_gan.perturb(trained, image)
  change = np.asarray(perturbed) - image
  found = spd_gan.measure(trained, LEFT, RIGHT, pictures(), batch_size=4)
  squares = (change**2).reshape(SIZE, -1)
  expected = {
    'noise_l2': np.sqrt(squares.sum(1)).mean(),
    'noise_linf': abs(change).max(),
    'psnr': (-10 * np.log10(squares.mean(1))).mean(),
  }
  for name, value in expected.items():
    np.testing.assert_allclose(found[name], value, rtol=1e-4)
  assert 0 < found['ssim'] < 1
  assert all(type(value) is float for value in found.values())


def test_padding_leaves_no_trace(trained):
  whole = spd_gan.measure(trained, LEFT, RIGHT, pictures(), batch_size=SIZE)
  parts = spd_gan.measure(trained, LEFT, RIGHT, pictures(), batch_size=4)
  chex.assert_trees_all_close(whole, parts, rtol=1e-5)


def test_training_is_a_function_of_its_key():
  chex.assert_trees_all_equal(fit(0), fit(0))
  one, other = (fit(seed).variables['params']['conv1'] for seed in (0, 1))
  assert not np.array_equal(one['kernel'], other['kernel'])


def test_no_batch_is_larger_than_the_data_and_a_last_one_is_dropped():
  alike = fit(batch_size=SIZE), fit(batch_size=500)
  chex.assert_trees_all_equal(*alike)
  history = fit(batch_size=4, num_steps=5).history
  assert {len(values) for values in history.values()} == {5}


def test_a_program_is_compiled_once_and_serves_judges_of_one_model():
  traces = []

  def apply(*args):
    traces.append(1)
    return linear_apply(*args)

  model = Model(None, apply, None)
  left = spd_gan.judge(model, looks_at(slice(0, 2)))
  right = spd_gan.judge(model, looks_at(slice(3, 5)))
  gan = fit(original=left, unlearned=right, batch_size=4)
  assert len(traces) == 2
  fit(seed=1, original=right, unlearned=left, batch_size=4, num_steps=4)
  assert len(traces) == 2
  spd_gan.measure(gan, left, right, pictures(), batch_size=4)
  assert len(traces) == 3


def test_a_plain_function_is_a_judge(trained):
  def plain(columns):
    variables = looks_at(columns)
    return lambda image: linear_apply(variables, image, False)[0]

  left, right = plain(slice(0, 2)), plain(slice(3, 5))
  gan = fit(original=left, unlearned=right)
  chex.assert_trees_all_close(gan, fit(), rtol=1e-4, atol=1e-5)
  assert spd_gan.measure(trained, left, right, pictures()) == spd_gan.measure(
    trained, LEFT, RIGHT, pictures()
  )


@pytest.fixture(scope='module')
def normed():
  """A judge with statistics, which a pass in train mode would answer by."""

  class Normed(nn.Module):
    @nn.compact
    def __call__(self, x, train):
      x = layers.BatchNorm()(x.reshape(x.shape[0], -1), train)
      return nn.Dense(2)(x)

  model = from_linen(Normed(), (4, 5, 1))
  image = jnp.asarray(pictures()['image'])
  variables = jax.jit(model.init)(jax.random.key(3), image)
  return model, variables, image


def test_judges_are_the_same_bits_after_training(normed, bits):
  model, variables, _ = normed
  before = jax.tree.map(np.copy, bits(variables))
  fit(original=spd_gan.judge(model, variables), unlearned=RIGHT)
  fit(original=RIGHT, unlearned=spd_gan.judge(model, variables))
  chex.assert_trees_all_equal(before, bits(variables))


def test_judges_answer_in_eval_mode(normed):
  model, variables, image = normed
  judge = spd_gan.judge(model, variables)
  expected, _ = model.apply(variables, image, False)
  np.testing.assert_array_equal(judge(image), expected)
  differs, _ = model.apply(variables, image, True)
  assert not np.allclose(judge(image), differs)


@pytest.mark.parametrize(
  ('settings', 'message'),
  [
    ({'num_steps': 0}, 'at least one step, not 0'),
    ({'batch_size': 0}, 'at least one example, not 0'),
    ({'max_noise': 0}, r'max_noise, in pixels of \[0, 1\], is above 0, not 0'),
    ({'max_noise': 8.0}, 'not 8.0'),
  ],
)
def test_a_wrong_setting_is_named(settings, message):
  with pytest.raises(ValueError, match=message):
    fit(**settings)


def test_a_pass_over_nothing_is_refused(trained):
  with pytest.raises(ValueError, match='at least one example, not 0'):
    spd_gan.measure(trained, LEFT, RIGHT, pictures(), batch_size=0)
