import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn import models
from jaxunlearn.errors import InputError
from jaxunlearn.models import adapters
from jaxunlearn.models.torch_weights import from_torch_state_dict

SHAPE = (8, 8, 1)


class Net(nn.Module):
  """Each kind of layer, under each kind of name."""

  @nn.compact
  def __call__(self, x, train):
    x = nn.Conv(2, (3, 3), name='block_0')(x)
    x = nn.BatchNorm(use_running_average=not train, name='block_1')(x)
    x = nn.Conv(3, (2, 1), use_bias=False, name='shortcut_conv')(x)
    return nn.Dense(4, name='fc')(x.mean((1, 2)))


MODEL = models.from_linen(Net(), image_shape=SHAPE)


def state():
  """Weights of `Net` as PyTorch names them and lays them out."""
  rng = np.random.default_rng(0)
  shapes = {
    'block.0.weight': (2, 1, 3, 3),
    'block.0.bias': (2,),
    'block.1.weight': (2,),
    'block.1.bias': (2,),
    'block.1.running_mean': (2,),
    'block.1.running_var': (2,),
    'shortcut_conv.weight': (3, 2, 2, 1),
    'fc.weight': (4, 3),
    'fc.bias': (4,),
  }
  values = {k: np.float32(rng.normal(size=s)) for k, s in shapes.items()}
  return values | {'block.1.num_batches_tracked': np.array(7)}


def convert(state_dict, model=MODEL, image_shape=SHAPE):
  return from_torch_state_dict(state_dict, model, image_shape=image_shape)


def refused(state_dict, *words, **kwargs):
  with pytest.raises(InputError) as caught:
    convert(state_dict, **kwargs)
  message = str(caught.value)
  assert '\n' not in message and message.endswith('.') and len(message) < 400
  for word in words:
    assert word in message, message


def renamed(**names):
  return {
    next((k.replace(a, b) for a, b in names.items() if k.startswith(a)), k): v
    for k, v in state().items()
  }


def test_names_and_layouts():
  given, found = state(), convert(state())
  params, stats = found['params'], found['batch_stats']
  assert set(found) == {'params', 'batch_stats'}
  for name in ('block_0', 'block_1', 'fc'):
    torch_name = name.replace('_', '.')
    np.testing.assert_array_equal(
      params[name]['bias'], given[f'{torch_name}.bias']
    )
  kernel = given['block.0.weight']
  np.testing.assert_array_equal(
    params['block_0']['kernel'], kernel.transpose(2, 3, 1, 0)
  )
  np.testing.assert_array_equal(params['fc']['kernel'], given['fc.weight'].T)
  np.testing.assert_array_equal(
    params['block_1']['scale'], given['block.1.weight']
  )
  np.testing.assert_array_equal(
    stats['block_1']['mean'], given['block.1.running_mean']
  )
  np.testing.assert_array_equal(
    stats['block_1']['var'], given['block.1.running_var']
  )
  like = jax.eval_shape(MODEL.init, jax.random.key(0), jnp.zeros((1, *SHAPE)))
  assert jax.tree.structure(found) == jax.tree.structure(like)
  assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(found))


def test_it_is_one_of_the_adapters():
  assert adapters.from_torch_state_dict is from_torch_state_dict


@pytest.mark.parametrize('head', ['linear', 'classifier'])
def test_the_head_has_other_names(head):
  found = convert(renamed(fc=head))
  np.testing.assert_array_equal(
    found['params']['fc']['bias'], state()['fc.bias']
  )


@pytest.mark.parametrize('name', ['shortcut', 'downsample'])
def test_the_shortcut_of_a_resnet_has_other_names(name):
  model = models.create('resnet18', 3, width=2)
  image = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  like = jax.eval_shape(model.init, jax.random.key(0), image)
  ours = {}
  for path, leaf in jax.tree.leaves_with_path(like):
    *module, kind = (entry.key for entry in path[1:])
    module = '.'.join(module).replace('_0', '.0').replace('_1', '.1')
    module = module.replace('shortcut_conv', f'{name}.0')
    module = module.replace('shortcut_bn', f'{name}.1')
    kinds = {'mean': 'running_mean', 'var': 'running_var', 'bias': 'bias'}
    value = np.full(leaf.shape, len(ours), np.float32)
    if value.ndim > 1:
      value = value.transpose(-1, -2, *range(value.ndim - 2))
    ours[f'{module}.{kinds.get(kind, "weight")}'] = value
  found = convert(ours, model, (32, 32, 3))
  block = found['params']['layer3_0']
  for part, kind in (('shortcut_conv', 'kernel'), ('shortcut_bn', 'scale')):
    place = f'layer3.0.{name}.{int(part == "shortcut_bn")}.weight'
    assert (block[part][kind] == ours[place].flat[0]).all()
  del ours[f'layer3.0.{name}.1.weight']
  refused(
    ours,
    'layer3.0.',
    '.1.weight is missing',
    model=model,
    image_shape=(8, 8, 3),
  )


@pytest.mark.parametrize(
  'prefix', ['module.', '_orig_mod.', 'module._orig_mod.', '_orig_mod.module.']
)
def test_what_wrappers_put_before_every_name_is_passed_over(prefix):
  wrapped = {prefix + name: value for name, value in state().items()}
  same(convert(wrapped), convert(state()))
  wrapped[prefix + 'fc.bias'] = np.zeros(9)
  refused(wrapped, f'{prefix}fc.bias has shape (9,)')


def same(tree, other):
  jax.tree.map(np.testing.assert_array_equal, tree, other)


def test_a_prefix_of_some_names_only_is_part_of_them():
  some = state()
  some['module.fc.bias'] = some.pop('fc.bias')
  refused(some, 'module.fc.bias is not a leaf of this network')


@pytest.mark.parametrize('dtype', [np.float16, np.float64, jnp.bfloat16])
def test_other_floats_become_float32(dtype):
  cast = {k: np.asarray(v).astype(dtype) for k, v in state().items()}
  found = convert(cast)
  for leaf in jax.tree.leaves(found):
    assert leaf.dtype == jnp.float32
  np.testing.assert_array_equal(
    found['params']['fc']['bias'], cast['fc.bias'].astype(np.float32)
  )


def test_the_variables_are_a_copy():
  given = state()
  found = convert(given)
  before = np.array(found['params']['fc']['bias'])
  given['fc.bias'][:] = 9
  np.testing.assert_array_equal(found['params']['fc']['bias'], before)


def changed(name, value):
  return state() | {name: value}


def test_a_mistake_is_a_sentence_that_names_it():
  less = {k: v for k, v in state().items() if k != 'block.1.running_var'}
  refused(less, 'block.1.running_var is missing')
  refused({}, 'is missing among the weights')
  refused(changed('conv9.weight', np.ones(3)), 'conv9.weight is not a leaf')
  refused(
    changed('fc.weight', np.ones((3, 4), np.float32)),
    'fc.weight has shape (3, 4) where this network has (4, 3)',
  )
  refused(
    changed('block.0.weight', np.ones((3, 3, 1, 2))),
    'block.0.weight has shape (3, 3, 1, 2)',
    '(2, 1, 3, 3)',
  )
  refused(changed('fc.bias', np.arange(4)), 'fc.bias is int64')
  refused(changed('fc.bias', [True] * 4), 'fc.bias is bool')
  for value in (np.nan, np.inf, -np.inf, 1e300):
    bias = np.array([0, 1, value, 2])
    refused(changed('fc.bias', bias), 'fc.bias holds a NaN or an infinity')
  refused(changed('fc.bias', {'weight': 1}), 'fc.bias is a dictionary')
  refused(changed('fc.bias', [[1.0], [1.0, 2.0]]), 'fc.bias is nothing that')
  refused(changed('linear.bias', np.ones(4)), 'linear.bias stands for the same')
  refused(7, 'this is a int')


def test_the_first_mistake_is_the_one_that_is_named():
  wrong = {'fc.bias': np.ones(3), 'nonsense': np.ones(3)}
  refused(wrong, 'fc.bias has shape')
  refused(dict(reversed(wrong.items())), 'nonsense is not a leaf')


def test_a_checkpoint_around_the_weights_is_named():
  refused({'net': state(), 'epoch': 3}, 'net is ')


@pytest.mark.parametrize('name', ['a.pth', 'a.pt', 'a.bin', 'a.ckpt', 'a'])
def test_a_pickle_is_refused_unread(tmp_path, name):
  (tmp_path / name).write_bytes(b'cos\nsystem\n(S"exit 1"\ntR.')
  refused(tmp_path / name, name, 'save_file(model.state_dict()')


def test_a_file_is_read(tmp_path):
  library = pytest.importorskip(
    'safetensors.numpy', reason='pip install -e ".[bench]"'
  )
  path = tmp_path / 'model.safetensors'
  library.save_file(state(), path)
  same(convert(path), convert(state()))
  same(convert(str(path)), convert(state()))
  path.write_bytes(path.read_bytes()[:-1])
  refused(path, 'damaged')


class Flat(nn.Module):
  """A dense layer on a flattened image."""

  norm: bool = False

  @nn.compact
  def __call__(self, x, train):
    x = nn.relu(nn.Conv(3, (1, 1), use_bias=False, name='conv')(x))
    x = x.reshape(x.shape[0], -1)
    if self.norm:
      x = nn.BatchNorm(use_running_average=not train, name='norm')(x)
    # As many features again, which are in no other order.
    x = nn.Dense(x.shape[-1], use_bias=False, name='hidden')(x)
    return nn.Dense(2, use_bias=False, name='fc')(x)


def test_features_of_a_flattened_image_are_put_in_our_order():
  rng = np.random.default_rng(1)
  height, width, features = 3, 2, 3 * 3 * 2
  given = {
    'conv.weight': rng.normal(size=(3, 2, 1, 1)),
    'hidden.weight': rng.normal(size=(features, features)),
    'fc.weight': rng.normal(size=(2, features)),
  }
  shape = (height, width, 2)
  model = models.from_linen(Flat(), image_shape=shape)
  image = rng.uniform(size=(4, *shape)).astype(np.float32)
  found = convert(given, model, shape)
  logits, _ = model.apply(found, image, False)
  y = np.einsum('nhwi,oi->nohw', image, given['conv.weight'][:, :, 0, 0])
  y = np.maximum(y, 0).reshape(4, -1)
  expected = y @ given['hidden.weight'].T @ given['fc.weight'].T
  np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_a_norm_of_a_flattened_image_is_refused():
  model = models.from_linen(Flat(norm=True), image_shape=(3, 2, 2))
  vector = np.ones(18)
  given = {
    'conv.weight': np.ones((3, 2, 1, 1)),
    'norm.weight': vector,
    'norm.bias': vector,
    'norm.running_mean': vector,
    'norm.running_var': vector,
    'hidden.weight': np.ones((18, 18)),
    'fc.weight': np.ones((2, 18)),
  }
  refused(
    given,
    'hidden.weight follows a norm of a flattened image',
    model=model,
    image_shape=(3, 2, 2),
  )


def test_tensors_of_pytorch_are_taken():
  torch = pytest.importorskip('torch', reason='pip install -e ".[bench]"')
  tensors = {k: torch.tensor(v) for k, v in state().items()}
  same(convert(tensors), convert(state()))
  tensors['fc.bias'] = tensors['fc.bias'].bfloat16()
  refused(tensors, 'fc.bias', '.detach().cpu().float()')
  tensors['fc.bias'] = torch.ones(4, requires_grad=True)
  refused(tensors, 'fc.bias', '.detach().cpu().float()')


def test_the_small_cnn_is_that_of_pytorch():
  torch = pytest.importorskip('torch', reason='pip install -e ".[bench]"')

  class CNN(torch.nn.Module):
    def __init__(self):
      super().__init__()
      self.conv1 = torch.nn.Conv2d(3, 2, 3, 1, 1, bias=False)
      self.conv2 = torch.nn.Conv2d(2, 4, 3, 2, 1, bias=False)
      self.conv3 = torch.nn.Conv2d(4, 4, 3, 2, 1, bias=False)
      self.fc = torch.nn.Linear(2 * 3 * 4, 5)

    def forward(self, x):
      for conv in (self.conv1, self.conv2, self.conv3):
        x = torch.relu(conv(x))
      return self.fc(x.flatten(1))

  network = CNN()
  image = np.random.default_rng(0).uniform(size=(3, 8, 12, 3))
  image = image.astype(np.float32)
  model = models.create('cnn', 5, width=2)
  found = convert(network.state_dict(), model, (8, 12, 3))
  logits, _ = model.apply(found, image, False)
  with torch.no_grad():
    expected = network(torch.tensor(image.transpose(0, 3, 1, 2))).numpy()
  np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
