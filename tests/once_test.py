"""What is compiled fast: the same numbers, wherever it is called."""

import functools

import chex
import jax
import jax.numpy as jnp

from jaxunlearn import models, once

KEY, IMAGE = jax.random.key(0), jnp.zeros((1, 8, 8, 3), jnp.uint8)


def test_a_network_begins_with_the_same_bits(bits):
  model = models.create('cnn', 10, width=4)
  fast, well = once.jit(model.init)(KEY, IMAGE), jax.jit(model.init)(KEY, IMAGE)
  chex.assert_trees_all_equal(bits(fast), bits(well))


def test_within_another_program_it_is_part_of_it():
  double = once.jit(lambda x: 2 * x)
  assert jax.jit(double)(3) == 6
  assert jax.vmap(double)(jnp.arange(2)).tolist() == [0, 2]


def test_a_second_call_compiles_nothing():
  traced = []

  @functools.partial(once.jit, static_argnums=0)
  def add(number, x):
    traced.append(number)
    return x + number

  assert add(1, 2) == add(1, 2) == 3 and add(2, 2) == 4
  assert traced == [1, 2]


def test_fast_is_what_it_is_compiled_as(monkeypatch):
  asked = []
  jit = jax.jit
  monkeypatch.setattr(
    jax, 'jit', lambda *args, **kwargs: asked.append(kwargs) or jit(*args)
  )
  once.jit(lambda x: x)
  assert asked[1]['compiler_options'] == {'xla_backend_optimization_level': 1}
