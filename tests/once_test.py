"""What is compiled fast: when it is, and that its numbers are the same."""

import functools

import chex
import jax
import jax.numpy as jnp
import pytest

from jaxunlearn import models, once, perturbers
from jaxunlearn.probes import generator
from jaxunlearn.types import Selection

KEY, IMAGE = jax.random.key(0), jnp.zeros((1, 8, 8, 3), jnp.uint8)


def test_a_network_begins_with_the_same_bits(bits):
  model = models.create('cnn', 10, width=4)
  fast, well = once.jit(model.init)(KEY, IMAGE), jax.jit(model.init)(KEY, IMAGE)
  chex.assert_trees_all_equal(bits(fast), bits(well))


def test_a_generator_begins_with_the_same_bits(bits):
  network, image = generator.Generator(4), IMAGE / 255
  well = jax.jit(functools.partial(network.init, train=False))(KEY, image)
  found = generator.init(network, KEY, image)
  chex.assert_trees_all_equal(bits(found), bits(well))


@pytest.mark.parametrize('name', ['scale', 'reinit', 'interpolate'])
def test_parameters_are_perturbed_to_the_same_bits(name, plain_task, bits):
  factory = getattr(perturbers, name)
  own = factory() if name == 'reinit' else factory(0.5)
  half = jax.tree.map(
    lambda x: jnp.arange(x.size).reshape(x.shape) % 2 > 0,
    plain_task.original['params'],
  )

  def perturbed(params):
    return own(KEY, plain_task, params, Selection(half, half))

  params = plain_task.original['params']
  fast, well = once.jit(perturbed)(params), jax.jit(perturbed)(params)
  chex.assert_trees_all_equal(bits(fast), bits(well))


@pytest.fixture
def asked(monkeypatch):
  """The compiler's options of each program that is called, in turn."""
  called, jit = [], jax.jit

  def noting(function, **options):
    compiled = jit(function, **options)

    def call(*args):
      found = compiled(*args)
      called.append(options.get('compiler_options'))
      return found

    return call

  with monkeypatch.context() as patched:
    patched.setattr(once.jax, 'jit', noting)
    double = once.jit(lambda x: 2 * x)
  return called, double


def test_it_is_compiled_fast_unless_within_another_program(asked):
  called, double = asked
  assert double(3) == 6
  assert jax.vmap(double)(jnp.arange(2)).tolist() == [0, 2]
  assert called == 2 * [{'xla_backend_optimization_level': 1}]
  for within in (
    lambda: jax.jit(double)(3) == 6,
    lambda: jax.jit(lambda: double(jnp.ones(())))() == 2,
    lambda: jax.grad(double)(3.0) == 2,
    lambda: jax.eval_shape(lambda: double(3)).shape == (),
  ):
    called.clear()
    assert within()
    assert called == [None]


def test_on_another_device_it_is_compiled_well(asked, monkeypatch):
  called, double = asked
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert double(3) == 6 and called == [None]


def test_a_factor_that_is_traced_may_hide_in_what_is_called():
  def scaled(factor):
    return once.jit(lambda x: factor * x)(3)

  assert jax.jit(scaled)(2) == 6
  assert jax.vmap(scaled)(jnp.arange(2)).tolist() == [0, 3]
  assert jax.grad(scaled)(2.0) == 3


def test_what_it_raises_is_raised():
  def refuse(x):
    raise ValueError('no')

  with pytest.raises(ValueError, match='no'):
    once.jit(refuse)(3)


def test_a_second_call_compiles_nothing():
  traced = []

  @functools.partial(once.jit, static_argnums=0)
  def add(number, x):
    traced.append(number)
    return x + number

  assert add(1, 2) == add(1, 2) == 3 and add(2, x=2) == 4
  assert traced == [1, 2]


def test_a_second_wrapper_compiles_nothing_either():
  traced = []

  def double(x):
    traced.append(x)
    return 2 * x

  # As `train.begin` does for each model of one network.
  assert once.jit(double)(1) == 2 and once.jit(double)(2) == 4
  assert len(traced) == 1
