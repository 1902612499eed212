"""Where compiled programs are kept."""

import jax
import pytest

from jaxunlearn import compile_cache
from jaxunlearn.errors import InputError

SETTINGS = (
  'jax_compilation_cache_dir',
  'jax_enable_compilation_cache',
  'jax_persistent_cache_min_compile_time_secs',
)


@pytest.fixture(autouse=True)
def settings(monkeypatch, tmp_path):
  """JAX as it starts, and a user's cache folder that is nobody's."""
  before = {name: getattr(jax.config, name) for name in SETTINGS}
  jax.config.update('jax_compilation_cache_dir', None)
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  yield
  for name, value in before.items():
    jax.config.update(name, value)


def keep(cache_dir):
  """What was said, and the folder that JAX is set to."""
  said = []
  compile_cache.keep(cache_dir, said.append)
  return said, jax.config.jax_compilation_cache_dir


def test_it_is_the_users_cache_folder(tmp_path):
  folder = tmp_path / 'cache/jaxunlearn/xla'
  assert keep('') == ([], str(folder))
  assert folder.stat().st_mode & 0o077 == 0


def test_without_one_it_is_in_the_home(monkeypatch, tmp_path):
  monkeypatch.delenv('XDG_CACHE_HOME')
  monkeypatch.setenv('HOME', str(tmp_path))
  assert keep('') == ([], str(tmp_path / '.cache/jaxunlearn/xla'))


def test_a_folder_that_is_given_is_taken(tmp_path):
  assert keep(str(tmp_path / 'mine')) == ([], str(tmp_path / 'mine'))


def test_jaxs_own_setting_is_left_alone(tmp_path):
  jax.config.update('jax_compilation_cache_dir', '/elsewhere')
  assert keep('') == ([], '/elsewhere')


def test_none_keeps_nothing(tmp_path):
  assert keep('none') == ([], None)
  assert not jax.config.jax_enable_compilation_cache
  assert not (tmp_path / 'cache').exists()


def test_a_folder_that_cannot_be_is_refused(tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(InputError, match='file/x cannot be written: give anot'):
    keep(str(tmp_path / 'file/x'))


def test_a_users_folder_that_cannot_be_is_said(monkeypatch, tmp_path):
  (tmp_path / 'file').touch()
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
  (sentence,), folder = keep('')
  assert folder is None
  assert sentence.startswith('Nothing that is compiled is kept; cache_dir ')


@pytest.mark.parametrize('limit, left', [(10, 0), (10**9, 1)])
def test_what_is_compiled_is_forgotten_before_it_is_too_much(
  limit, left, monkeypatch
):
  compiled = jax.jit(lambda x: x + 1)
  compiled(1.0)
  text = compile_cache.Path.read_text
  monkeypatch.setattr(
    compile_cache.Path,
    'read_text',
    lambda path: str(limit) if path.name == 'max_map_count' else text(path),
  )
  compile_cache.make_room()
  assert compiled._cache_size() == left
