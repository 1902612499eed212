"""What every test runs under; `jaxunlearn` itself sets none of it."""

import atexit
import os
import shutil
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import settings

from jaxunlearn.types import Model, Task

# What one test has compiled the next one reads: here, in xdist's other worker,
# and in the processes that tests start. Of this run alone, and no user's.
if 'PYTEST_XDIST_WORKER' not in os.environ:
  compiled = tempfile.mkdtemp()
  atexit.register(shutil.rmtree, compiled, True)
  os.environ['JAX_COMPILATION_CACHE_DIR'] = compiled
  os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
  jax.config.update('jax_compilation_cache_dir', compiled)
  jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)

# Before any backend starts. More devices than a test uses show what quietly
# assumes one. Unlike XLA_FLAGS it is not inherited by the launcher's
# subprocesses, which see what a user sees.
jax.config.update('jax_num_cpu_devices', 8)
# [n, c] + [c] is a mistake more often than a wish.
jax.config.update('jax_numpy_rank_promotion', 'raise')

# Compiling makes the first example slow; a test says the same each time. With
# JAXUNLEARN_EXAMPLES there are so many, other ones each time.
examples = os.environ.get('JAXUNLEARN_EXAMPLES')
settings.register_profile('tests', deadline=None, derandomize=True)
settings.register_profile(
  'fuzz', deadline=None, max_examples=int(examples or 1), print_blob=True
)
settings.load_profile('fuzz' if examples else 'tests')

# JAX may read there what xdist's other worker is still writing, and then
# compiles it itself.
ALLOWED_WARNINGS = (
  'ignore:Error reading persistent compilation cache entry:UserWarning',
)

# A worker of xdist takes whole files: those that take a minute or more first.
# What launch_test compiles interruptions_test reads.
LONG = (
  'hosts',
  'models/torch_parity',
  'launch',
  'experiment',
  'interruptions',
  'mesh',
)


def pytest_collection_modifyitems(items):
  order = {f'tests/{name}_test.py': i for i, name in enumerate(LONG)}
  items.sort(key=lambda x: order.get(x.nodeid.partition('::')[0], len(LONG)))


def pytest_configure(config):
  # Else those of many tests come first.
  if hasattr(config.option, 'loadscopereorder'):
    config.option.loadscopereorder = False
  config.addinivalue_line('filterwarnings', 'error')
  for line in ALLOWED_WARNINGS:
    config.addinivalue_line('filterwarnings', line)


@pytest.fixture
def strict_dtypes():
  """No implicit promotion, for our own algebra: optax.adam raises under it."""
  with jax.numpy_dtype_promotion('strict'):
    yield


@pytest.fixture(scope='module')
def compiled_in_a_hurry():
  """XLA leaves out most optimizations, and takes half the time or less.

  For tests of what comes out of many programs, each of which is run little.
  """
  jax.clear_caches()
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', False)
  jax.clear_caches()


def images(seed, size, shape=(4, 4, 1), num_classes=3):
  rng = np.random.default_rng(seed)
  return {
    'image': rng.integers(0, 256, (size, *shape), dtype=np.uint8),
    'label': rng.integers(0, num_classes, size).astype(np.int32),
  }


def perceptron(dtypes=(jnp.float32, jnp.float32)):
  """Two layers and a temperature in plain JAX: no framework, a () leaf."""

  def init(key, image):
    keys = jax.random.split(key, 4)
    first, second = dtypes
    pixels = image[0].size
    bias = jax.random.normal(keys[2], (8,), first)
    return {
      'params': {
        'first': {
          'kernel': jax.random.normal(keys[0], (pixels, 8), first) / 4,
          # What adding +0.0 would change.
          'bias': bias.at[:3].set(-0.0),
        },
        'second': {
          'kernel': jax.random.normal(keys[1], (8, 3), second) / 3,
          'bias': jax.random.normal(keys[3], (3,), second).at[0].set(-0.0),
        },
        'temperature': jnp.ones((), first),
      }
    }

  def apply(variables, image, train, key=None):
    del train, key
    params = jax.tree.map(lambda x: x.astype(jnp.float32), variables['params'])
    first, second = params['first'], params['second']
    x = image.reshape(image.shape[0], -1).astype(jnp.float32) / 255
    x = jax.nn.relu(x @ first['kernel'] + first['bias'][None])
    x = x @ second['kernel'] + second['bias'][None]
    return x * params['temperature'], variables

  def order(params):
    del params
    return (
      ('first', 'kernel'),
      ('first', 'bias'),
      ('second', 'kernel'),
      ('second', 'bias'),
      ('temperature',),
    )

  return Model(init, apply, order)


def make_task(model, seed=0, **kwargs):
  forget, retain = images(seed, 12, **kwargs), images(seed + 1, 30, **kwargs)
  original = model.init(jax.random.key(seed), jnp.asarray(retain['image'][:1]))
  return Task(model, original, forget, retain)


@pytest.fixture(scope='session')
def plain_task():
  """A plain dict of float32 parameters."""
  return make_task(perceptron())


@pytest.fixture(scope='session')
def mixed_task():
  """A plain dict of float32 and bfloat16 parameters."""
  return make_task(perceptron((jnp.float32, jnp.bfloat16)))


@pytest.fixture
def bits():
  """(tree) -> the leaves' bit patterns, where -0.0 is not 0.0."""

  def view(x):
    x = np.asarray(x)
    return x.view({2: np.uint16, 4: np.uint32}.get(x.dtype.itemsize, x.dtype))

  return lambda tree: jax.tree.map(view, tree)


@pytest.fixture(scope='session')
def as_if_trained():
  """(model, image) -> variables of which none is the 0 or 1 of a beginning.

  Drawn by numpy: to compile a network's initialisation takes longer than most
  tests do.
  """

  def draw(model, image):
    rng = np.random.default_rng(0)

    def leaf(path, x):
      if path[-1].key in ('var', 'scale'):
        value = rng.uniform(0.3, 2.0, x.shape)
      elif path[-1].key in ('mean', 'bias'):
        value = rng.normal(0, 0.3, x.shape)
      else:
        bound = np.prod(x.shape[:-1]) ** -0.5
        value = rng.uniform(-bound, bound, x.shape)
      return jnp.asarray(value, x.dtype)

    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    return jax.tree.map_with_path(leaf, shapes)

  return draw
