import io
import json
import logging
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jaxunlearn.data import sources, tfds
from jaxunlearn.errors import InputError

ROOT = pathlib.Path(__file__).parents[2]
DATA = pathlib.Path(
  os.environ.get('JAXUNLEARN_DATA') or ROOT.parent / 'shared' / 'data'
)

FEATURES = 'tensorflow_datasets.core.features.'
ID = {'pythonClassName': f'{FEATURES}text_feature.Text', 'text': {}}
LABEL = {
  'pythonClassName': f'{FEATURES}class_label_feature.ClassLabel',
  'classLabel': {'numClasses': '3'},
}


def image_feature(height, width):
  shape = {'dimensions': [str(height), str(width), '1']}
  return {
    'pythonClassName': f'{FEATURES}image_feature.Image',
    'image': {'dtype': 'uint8', 'shape': shape},
  }


def png(value, height=4):
  file = io.BytesIO()
  Image.fromarray(np.full((height, 4), value, np.uint8)).save(file, 'png')
  return file.getvalue()


EXAMPLES = [
  {'id': b'b', 'image': png(1), 'label': 1},
  {'id': b'c', 'image': png(2), 'label': 2},
  {'id': b'a', 'image': png(0), 'label': 0},
]


def prepare(root, examples=EXAMPLES, image=None, splits=('train', 'test')):
  """Writes a set as TFDS does, which itself needs TensorFlow to write one."""
  from array_record.python import array_record_module
  from tensorflow_datasets.proto import tf_example_pb2

  folder = root / 'tiny' / '1.0.0'
  folder.mkdir(parents=True)
  known = {'id': ID, 'image': image or image_feature(4, 4), 'label': LABEL}
  features = {name: known[name] for name in examples[0]}
  (folder / 'features.json').write_text(
    json.dumps(
      {
        'pythonClassName': f'{FEATURES}features_dict.FeaturesDict',
        'featuresDict': {'features': features},
      }
    )
  )
  template = '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}'
  (folder / 'dataset_info.json').write_text(
    json.dumps(
      {
        'fileFormat': 'array_record',
        'name': 'tiny',
        'splits': [
          {
            'filepathTemplate': template,
            'name': split,
            'numBytes': '1',
            'shardLengths': [str(len(examples))],
          }
          for split in splits
        ],
        'version': '1.0.0',
      }
    )
  )
  for split in splits:
    writer = array_record_module.ArrayRecordWriter(
      str(folder / f'tiny-{split}.array_record-00000-of-00001'), 'group_size:1'
    )
    for example in examples:
      record = tf_example_pb2.Example()
      for name, value in example.items():
        feature = record.features.feature[name]
        if isinstance(value, bytes):
          feature.bytes_list.value.append(value)
        else:
          feature.int64_list.value.append(value)
      writer.write(record.SerializeToString())
    writer.close()
  return folder


def refused(root, match, name='tiny'):
  with pytest.raises(InputError, match=match) as caught:
    tfds.read(name, str(root))
  assert '\n' not in str(caught.value)
  return str(caught.value)


def test_examples_come_in_the_order_of_id(tmp_path):
  prepare(tmp_path)
  arrays = tfds.read('tiny', str(tmp_path))
  for split in ('train', 'test'):
    images, labels = arrays[f'x_{split}'], arrays[f'y_{split}']
    assert images.shape == (3, 4, 4, 1) and images.dtype == np.uint8
    np.testing.assert_array_equal(images[:, 0, 0, 0], [0, 1, 2])
    np.testing.assert_array_equal(labels, [0, 1, 2])


def test_without_id_they_come_as_they_are_stored(tmp_path):
  bare = [{'image': e['image'], 'label': e['label']} for e in EXAMPLES]
  prepare(tmp_path, bare)
  arrays = tfds.read('tiny', str(tmp_path))
  np.testing.assert_array_equal(arrays['y_train'], [1, 2, 0])


def test_a_version_can_be_named(tmp_path):
  prepare(tmp_path)
  assert len(tfds.read('tiny:1.0.0', str(tmp_path))['y_train']) == 3


def test_the_source_is_checked_like_any_other(tmp_path):
  prepare(tmp_path)
  data = sources.load('tfds:tiny', str(tmp_path))
  assert data.num_classes == 3 and data.y_train.dtype == np.int32
  assert data.name == 'tfds:tiny'


def test_nothing_is_said_about_opencv(tmp_path):
  prepare(tmp_path)
  # A process of its own: TFDS says it once in each.
  code = f"from jaxunlearn.data import tfds; tfds.read('tiny', '{tmp_path}')"
  run = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True
  )
  assert run.returncode == 0 and 'OpenCV' not in run.stderr


def test_other_warnings_of_tfds_are_heard(caplog):
  tfds._quiet_about_opencv()
  # The launcher, in a test before, may have set a higher one.
  with caplog.at_level(logging.WARNING, 'absl'):
    logging.getLogger('absl').warning('something else')
  assert 'something else' in caplog.text


def test_a_set_that_is_not_prepared_names_the_command(tmp_path):
  for name in ('cifar10', 'tiny'):
    message = refused(tmp_path, f'tfds:{name} is not prepared in', name)
    assert "pip install 'jaxunlearn[tfds-prepare]' && python -c" in message
    code = message.split('python -c "')[1].rstrip('."')
    compile(code, 'command', 'exec')
    assert f"'{name}', data_dir='{tmp_path}', file_format='array_rec" in code


def test_an_empty_dir_is_the_default_of_tfds(tmp_path, monkeypatch):
  from tensorflow_datasets.core import constants

  prepare(tmp_path)
  monkeypatch.setattr(constants, 'DATA_DIR', str(tmp_path))
  assert len(tfds.read('tiny')['y_train']) == 3


def test_a_format_that_needs_tensorflow_asks_for_another_folder(tmp_path):
  path = prepare(tmp_path) / 'dataset_info.json'
  path.write_text(path.read_text().replace('"array_record"', '"tfrecord"'))
  refused(tmp_path, 'is stored as tfrecord.*_array_record')


@pytest.mark.parametrize('name', ['a b', '../x', 'a:b', 'a/b/', 'x\ny', '/etc'])
def test_a_malformed_name_is_refused(tmp_path, name):
  refused(tmp_path, 'is no TFDS name', name)


def test_a_set_without_labels_is_refused(tmp_path):
  prepare(tmp_path, [{'id': e['id'], 'image': e['image']} for e in EXAMPLES])
  refused(tmp_path, 'has the features id, image, but image and label')


def test_a_set_without_a_test_split_is_refused(tmp_path):
  prepare(tmp_path, splits=('train',))
  refused(tmp_path, 'has the splits train, but test and train are needed')


def test_images_of_different_sizes_are_refused(tmp_path):
  examples = [*EXAMPLES, {'id': b'd', 'image': png(3, height=5), 'label': 0}]
  prepare(tmp_path, examples, image=image_feature(-1, -1))
  refused(tmp_path, r'image .*such as \(4, 4, 1\) and \(5, 4, 1\)')


@pytest.mark.parametrize('image', [b'', b'not a picture', png(1)[:45]])
def test_a_picture_that_cannot_be_decoded_is_refused(tmp_path, image):
  prepare(tmp_path, [*EXAMPLES, {'id': b'd', 'image': image, 'label': 0}])
  refused(tmp_path, 'cannot be read')


@pytest.mark.parametrize(
  ('name', 'damage'),
  [
    ('features.json', lambda content: content[:100]),
    ('features.json', lambda content: b'{}'),
    ('features.json', lambda content: b'\xff' + content),
    ('features.json', lambda c: c.replace(b'tensorflow_', b'.ensorflow_')),
    ('dataset_info.json', lambda content: content[:100]),
    ('dataset_info.json', lambda content: b'\xff' + content),
    ('dataset_info.json', lambda content: content.replace(b'"3"', b'"9"')),
    ('tiny-test.array_record-00000-of-00001', lambda content: b''),
    ('tiny-test.array_record-00000-of-00001', lambda c: c[: len(c) // 2]),
    (
      'tiny-test.array_record-00000-of-00001',
      lambda c: c[:188] + bytes([c[188] ^ 4]) + c[189:],
    ),
  ],
)
def test_a_damaged_file_is_refused(tmp_path, name, damage):
  path = prepare(tmp_path) / name
  path.write_bytes(damage(path.read_bytes()))
  refused(tmp_path, r'cannot be read \(.+\); delete it there, and prepare it')


@pytest.mark.parametrize('record', [b'\xff\xff\xff', b''])
def test_a_record_that_is_no_example_is_refused(tmp_path, record):
  from array_record.python import array_record_module

  name = prepare(tmp_path) / 'tiny-test.array_record-00000-of-00001'
  writer = array_record_module.ArrayRecordWriter(str(name), 'group_size:1')
  for _ in EXAMPLES:
    writer.write(record)
  writer.close()
  refused(tmp_path, 'cannot be read')


def test_features_that_need_tensorflow_are_refused(tmp_path):
  path = prepare(tmp_path) / 'features.json'
  path.write_text(path.read_text().replace('"uint8"', '"int7"'))
  refused(tmp_path, 'cannot be read')


def test_a_missing_shard_is_refused(tmp_path):
  (prepare(tmp_path) / 'tiny-test.array_record-00000-of-00001').unlink()
  refused(tmp_path, 'cannot be read .*No such file')


@pytest.fixture(scope='module')
def cifar10():
  if not (DATA / 'tfds' / 'cifar10').is_dir():
    pytest.skip(f'no CIFAR-10 in {DATA}/tfds; set JAXUNLEARN_DATA')
  return sources.load('tfds:cifar10', str(DATA / 'tfds'))


def test_cifar10_is_the_published_one(cifar10):
  assert cifar10.x_train.shape == (50_000, 32, 32, 3)
  assert cifar10.x_test.shape == (10_000, 32, 32, 3)
  assert cifar10.x_train.dtype == cifar10.x_test.dtype == np.uint8
  assert cifar10.num_classes == 10
  for labels, size in ((cifar10.y_train, 5000), (cifar10.y_test, 1000)):
    np.testing.assert_array_equal(np.bincount(labels), [size] * 10)
  assert cifar10.y_train[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
  assert cifar10.y_test[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
  # The first pixels of data_batch_1 and of test_batch.
  assert cifar10.x_train[0, 0, 0].tolist() == [59, 62, 63]
  assert cifar10.x_test[0, 0, 0].tolist() == [158, 112, 49]


def test_cifar10_agrees_index_by_index_with_its_ids(cifar10):
  import tensorflow_datasets

  builder = tensorflow_datasets.builder_from_directory(
    DATA / 'tfds' / 'cifar10' / '3.0.2'
  )
  for split in ('train', 'test'):
    stored = builder.as_data_source(split=split)
    for place in range(0, len(stored), 997):
      example = stored[place]
      # The first is train_00000.
      index = int(example['id'].decode().split('_')[1])
      images = getattr(cifar10, f'x_{split}')
      labels = getattr(cifar10, f'y_{split}')
      np.testing.assert_array_equal(images[index], example['image'])
      assert labels[index] == example['label']


def test_a_set_larger_than_memory_is_not_read(tmp_path, monkeypatch):
  prepare(tmp_path, image=image_feature(2**20, 2**20))
  monkeypatch.setattr('os.sysconf', lambda name: 2**20)
  refused(
    tmp_path, r'the train split of tiny/1\.0\.0 is 6144\.0 GiB, more than'
  )
