import time

import jax
import jax.numpy as jnp
import pytest

from jaxunlearn.clock import Clock


def test_seconds_add_up_by_name():
  clock = Clock()
  for name in ('a', 'b', 'a'):
    with clock.measure(name):
      time.sleep(0.02)
  assert 0.04 <= clock.seconds['a'] < 0.5
  assert 0.02 <= clock.seconds['b'] < clock.seconds['a']
  assert clock.seconds['compile'] == 0


def test_compiling_is_kept_apart_and_counted_once():
  @jax.jit
  def inner(x):
    time.sleep(0.5)
    return jnp.sin(x)

  clock = Clock()
  start = time.perf_counter()
  with clock.measure('a'):
    jax.jit(lambda x: inner(x) + 1)(jnp.ones(3)).block_until_ready()
  wall = time.perf_counter() - start
  assert 0.5 <= clock.seconds['compile'] <= wall
  assert clock.seconds['a'] < 0.5


def test_it_goes_on_from_what_was_counted_before():
  clock, before = Clock(), {'compile': 2.0, 'a': 3.0}
  clock.go_on(before)
  for name in ('a', 'b'):
    with clock.measure(name):
      time.sleep(0.01)
  assert clock.seconds['compile'] == 2.0
  assert 3.01 <= clock.seconds['a'] < 3.5 and 0.01 <= clock.seconds['b'] < 0.5
  assert before == {'compile': 2.0, 'a': 3.0}


def test_a_block_that_raises_is_measured_too():
  clock = Clock()
  with pytest.raises(KeyError), clock.measure('a'):
    time.sleep(0.02)
    raise KeyError
  assert clock.seconds['a'] >= 0.02
