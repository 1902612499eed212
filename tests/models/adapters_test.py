import collections
import json
import logging
import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxunlearn.errors import InputError
from jaxunlearn.models import adapters


def variables(**changes):
  tree = {
    'params': {
      'conv': {'kernel': jnp.arange(6.0).reshape(3, 2), 'bias': jnp.ones(2)},
      'dense': {'kernel': jnp.full((2, 10), 0.5)},
    },
    'batch_stats': {'norm': {'mean': jnp.array([0.25, -1.0])}},
  }
  return tree | changes


def shapes(tree):
  return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), tree)


def same(tree, other):
  assert jax.tree.structure(tree) == jax.tree.structure(other)
  for x, y in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True):
    assert isinstance(x, jax.Array)
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def refused(path, like, *words):
  with pytest.raises(InputError) as caught:
    adapters.restore(path, like)
  message = str(caught.value)
  assert '\n' not in message and message.endswith(('.', '?'))
  assert len(message) < 500
  for word in words:
    assert word in message
  return message


def test_what_was_saved_comes_back_bit_for_bit(tmp_path):
  tree = variables()
  adapters.save(tmp_path / 'deep' / 'original', tree)
  same(adapters.restore(tmp_path / 'deep' / 'original', shapes(tree)), tree)
  same(adapters.restore(str(tmp_path / 'deep' / 'original'), tree), tree)


def test_it_lies_on_the_default_device(tmp_path):
  adapters.save(tmp_path / 'a', variables())
  restored = adapters.restore(tmp_path / 'a', variables())
  for leaf in jax.tree.leaves(restored):
    assert leaf.devices() == jnp.zeros(()).devices()


def test_nothing_is_overwritten(tmp_path):
  adapters.save(tmp_path / 'a', variables())
  with pytest.raises(InputError, match='exists already'):
    adapters.save(tmp_path / 'a', {'params': {'other': jnp.zeros(1)}})
  same(adapters.restore(tmp_path / 'a', variables()), variables())


def test_a_network_without_batch_statistics_needs_none(tmp_path):
  tree = {'params': variables()['params']}
  adapters.save(tmp_path / 'a', tree)
  same(adapters.restore(tmp_path / 'a', tree), tree)
  empty = tree | {'batch_stats': {}}
  same(adapters.restore(tmp_path / 'a', empty), empty)


@pytest.mark.parametrize(
  'nest',
  [
    lambda tree: {'state': tree},
    lambda tree: {'model': tree, 'step': 3},
    lambda tree: tree | {'step': 3, 'opt_state': ({'mu': jnp.ones(3)}, None)},
    lambda tree: {'params': tree, 'step': jnp.int32(1)},
  ],
)
def test_variables_may_lie_one_level_down_in_the_tree(tmp_path, nest):
  adapters.save(tmp_path / 'a', nest(variables()))
  same(adapters.restore(tmp_path / 'a', variables()), variables())


def test_the_pytree_checkpointer_is_read(tmp_path):
  ocp.PyTreeCheckpointer().save(tmp_path / 'a', variables())
  same(adapters.restore(tmp_path / 'a', variables()), variables())


def test_one_file_an_array_is_read(tmp_path):
  handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False)
  with ocp.Checkpointer(handler) as checkpointer:
    checkpointer.save(tmp_path / 'a', variables())
  same(adapters.restore(tmp_path / 'a', variables()), variables())


def test_steps_of_a_checkpoint_manager_are_read(tmp_path):
  with ocp.CheckpointManager(tmp_path / 'a') as manager:
    manager.save(5, args=ocp.args.StandardSave({'state': variables()}))
  same(adapters.restore(tmp_path / 'a' / '5', variables()), variables())
  refused(tmp_path / 'a', variables(), 'did you mean', 'default')
  with ocp.CheckpointManager(tmp_path / 'b') as manager:
    items = {
      'weights': ocp.args.StandardSave(variables()),
      'notes': ocp.args.JsonSave({'epoch': 1}),
    }
    manager.save(7, args=ocp.args.Composite(**items))
  same(adapters.restore(tmp_path / 'b' / '7', variables()), variables())


def test_a_train_state_is_read(tmp_path):
  import optax
  from flax.training import train_state

  params = variables()['params']
  state = train_state.TrainState.create(
    apply_fn=None, params=params, tx=optax.adam(1e-3)
  )
  adapters.save(tmp_path / 'a', state)
  like = {'params': params}
  same(adapters.restore(tmp_path / 'a', like), like)
  adapters.save(tmp_path / 'b', {'state': state})
  same(adapters.restore(tmp_path / 'b', like), like)


def test_a_workdir_gives_its_original(tmp_path):
  adapters.save(tmp_path / 'original', variables())
  adapters.save(tmp_path / 'retrained', jax.tree.map(lambda x: -x, variables()))
  same(adapters.restore(tmp_path, variables()), variables())


def test_a_retrained_model_never_stands_in_for_a_removed_original(tmp_path):
  adapters.save(tmp_path / 'retrained', variables())
  refused(tmp_path, variables(), 'no original/ any more')
  same(adapters.restore(tmp_path / 'retrained', variables()), variables())


def test_several_checkpoints_are_ambiguous(tmp_path):
  adapters.save(tmp_path / 'one', variables())
  adapters.save(tmp_path / 'two', variables())
  refused(tmp_path, variables(), 'one, two')


def test_params_in_several_places_are_ambiguous(tmp_path):
  adapters.save(tmp_path / 'a', {'ema': variables(), 'raw': variables()})
  refused(tmp_path / 'a', variables(), 'several places', 'ema, raw')


def test_lists_and_named_tuples_are_matched_by_position_and_name(tmp_path):
  Layer = collections.namedtuple('Layer', 'kernel bias')
  tree = {'params': [Layer(jnp.ones((2, 3)), jnp.zeros(3)), (jnp.ones(1),)]}
  adapters.save(tmp_path / 'a', tree)
  same(adapters.restore(tmp_path / 'a', tree), tree)


@pytest.mark.parametrize('stored', ['bfloat16', 'float16', 'float32'])
def test_floats_are_cast(tmp_path, stored):
  tree = variables()
  adapters.save(tmp_path / 'a', jax.tree.map(lambda x: x.astype(stored), tree))
  same(adapters.restore(tmp_path / 'a', tree), tree)


def test_an_integer_is_no_float(tmp_path):
  tree = variables(batch_stats={'norm': {'mean': jnp.arange(2)}})
  adapters.save(tmp_path / 'a', tree)
  refused(
    tmp_path / 'a', variables(), 'batch_stats/norm/mean', 'int32', 'float32'
  )


def test_a_missing_leaf_is_named(tmp_path):
  tree = variables()
  del tree['params']['conv']['bias']
  adapters.save(tmp_path / 'a', tree)
  refused(
    tmp_path / 'a', variables(), 'params/conv/bias is missing', 'model.name'
  )


def test_a_missing_collection_is_named(tmp_path):
  adapters.save(tmp_path / 'a', {'params': variables()['params']})
  refused(tmp_path / 'a', variables(), 'batch_stats/norm/mean is missing')


def test_an_extra_leaf_is_named(tmp_path):
  tree = variables()
  tree['params']['head'] = {'bias': jnp.zeros(3)}
  adapters.save(tmp_path / 'a', tree)
  refused(tmp_path / 'a', variables(), 'params/head/bias', 'not a leaf')


def test_another_shape_is_given_beside_the_expected_one(tmp_path):
  adapters.save(tmp_path / 'a', variables())
  like = variables()
  like['params']['dense']['kernel'] = jnp.zeros((2, 100))
  refused(
    tmp_path / 'a', like, 'params/dense/kernel', '(2, 10)', '(2, 100)', 'class'
  )


def test_a_tree_without_params_says_what_it_holds(tmp_path):
  adapters.save(tmp_path / 'a', {'weights': jnp.ones(2)})
  refused(tmp_path / 'a', variables(), 'no `params`', 'weights')


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_what_is_not_finite_is_named(tmp_path, value):
  tree = variables()
  tree['params']['conv']['bias'] = jnp.array([1.0, value])
  adapters.save(tmp_path / 'a', tree)
  refused(tmp_path / 'a', variables(), 'params/conv/bias', 'NaN')


def test_a_path_without_checkpoint_is_refused(tmp_path):
  refused(tmp_path / 'nowhere', variables(), 'does not exist', 'nowhere')
  refused(tmp_path, variables(), 'is empty')
  (tmp_path / 'weights.npz').write_bytes(b'')
  refused(tmp_path, variables(), 'no Orbax checkpoint')
  refused(tmp_path / 'weights.npz', variables(), 'is a file')
  refused(tmp_path / ('x' * 300), variables(), 'cannot be read')


def cut(file):
  file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def noise(file):
  file.write_bytes(np.random.default_rng(0).bytes(200))


def list_instead(file):
  file.write_text(json.dumps([1]))


@pytest.mark.parametrize(
  'damage', [cut, noise, list_instead, lambda file: file.unlink()]
)
@pytest.mark.parametrize('name', ['_METADATA', 'manifest.ocdbt', 'd'])
def test_damage_is_one_sentence(tmp_path, name, damage, capfd, caplog):
  adapters.save(tmp_path / 'a', variables())
  target = tmp_path / 'a' / name
  damage(next(target.iterdir()) if target.is_dir() else target)
  with caplog.at_level(logging.WARNING):
    words = () if name == '_METADATA' else ('damaged',)
    refused(tmp_path / 'a', variables(), *words)
  assert not caplog.records
  assert 'Traceback' not in capfd.readouterr().err


@pytest.mark.parametrize('name', ['_sharding', 'array_metadatas/process_0'])
@pytest.mark.parametrize('damage', [cut, noise])
def test_damage_beside_the_arrays_is_one_sentence(tmp_path, name, damage):
  adapters.save(tmp_path / 'a', variables())
  damage(tmp_path / 'a' / name)
  refused(tmp_path / 'a', variables(), 'damaged')


@pytest.mark.parametrize(
  'name', ['_METADATA', '_sharding', 'array_metadatas/process_0', 'd']
)
def test_a_file_larger_than_memory_is_not_read(tmp_path, name):
  adapters.save(tmp_path / 'a', variables())
  target = tmp_path / 'a' / name
  target = next(target.iterdir()) if target.is_dir() else target
  os.truncate(target, 2**43)
  words = (target.name, '8192.0 GiB', 'of memory here')
  refused(tmp_path / 'a', variables(), *words)


def test_pieces_larger_than_their_array_are_not_unpacked(tmp_path):
  handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False)
  with ocp.Checkpointer(handler) as checkpointer:
    checkpointer.save(tmp_path / 'a', variables())
  stored = tmp_path / 'a/params.conv.kernel/.zarray'
  content = json.loads(stored.read_text())
  # 400 GB, of which Orbax would end the process.
  content['chunks'] = [3, 2**35]
  stored.write_text(json.dumps(content))
  refused(tmp_path / 'a', variables(), 'damaged', 'in pieces of')
  with pytest.raises(InputError, match='in pieces of'):
    adapters.read_arrays(tmp_path / 'a', variables())


def test_shardings_are_not_needed(tmp_path):
  adapters.save(tmp_path / 'a', variables())
  (tmp_path / 'a' / '_sharding').unlink()
  shutil.rmtree(tmp_path / 'a' / 'array_metadatas')
  same(adapters.restore(tmp_path / 'a', variables()), variables())


@pytest.mark.parametrize(
  'tree', [({'params': jnp.ones(2)}, jnp.ones(3)), [jnp.ones(2)]]
)
def test_a_tree_without_names_at_the_top_is_refused(tmp_path, tree):
  ocp.PyTreeCheckpointer().save(tmp_path / 'a', tree)
  refused(tmp_path / 'a', variables(), 'at the top: save the variables as')
