import re

import numpy as np
import pytest

from jaxunlearn.report import schema


def put(report, path, value):
  *parents, last = path.split('.')
  for name in parents:
    report = report[name]
  report[last] = value


def paths(tree, path=''):
  for name, item in tree.items():
    where = f'{path}.{name}' if path else name
    yield where
    if isinstance(item, dict) and name not in ('config', 'settings', 'probes'):
      yield from paths(item, where)


def refused(report, path):
  with pytest.raises(ValueError, match=f'^{re.escape(path)} ') as caught:
    schema.validate(report)
  assert '\n' not in str(caught.value)
  return str(caught.value)


def test_a_whole_report_is_valid(report):
  schema.validate(report)


def test_a_report_without_reference_is_valid(unreferenced):
  schema.validate(unreferenced)
  for values in unreferenced['models'].values():
    values['gap_to_retrained'] = None
  schema.validate(unreferenced)


def test_every_missing_path_is_named(report):
  for path in list(paths(report)):
    if re.fullmatch(r'models\.(?!original$|retrained$)[^.]*', path):
      continue
    *parents, last = path.split('.')
    node = report
    for name in parents:
      node = node[name]
    taken = dict(node)
    del node[last]
    refused(report, path)
    node.clear()
    node.update(taken)
  schema.validate(report)


@pytest.mark.parametrize(
  ('path', 'value'),
  [
    ('schema', 2),
    ('schema', None),
    ('request', []),
    ('request.num_forget', 0.5),
    ('request.num_forget', None),
    ('request.num_train', -1),
    ('request.forget_fraction', 1.5),
    ('request.dataset', None),
    ('environment.device_count', True),
    ('environment.jax', 0.1),
    ('original.kept', 1),
    ('original.from', None),
    ('reference', 'twice'),
    ('models.top_k', None),
    ('models.top_k.recipe', 3),
    ('models.top_k.accuracy.forget', 1.0001),
    ('models.top_k.accuracy.forget', -0.1),
    ('models.top_k.accuracy.test', '0.5'),
    ('models.top_k.accuracy.test', True),
    ('models.top_k.accuracy.test', np.float32(0.5)),
    ('models.top_k.accuracy.retain', float('nan')),
    ('models.top_k.forgetting_rate', 1.01),
    ('models.top_k.forgetting_rate', float('-inf')),
    ('models.top_k.memory_retention_rate', -0.01),
    ('models.top_k.memory_retention_rate', float('inf')),
    ('models.top_k.similarity', 1.2),
    ('models.top_k.selected.leaves', 1.0),
    ('models.top_k.seconds.total', -1.0),
    ('models.top_k.gap_to_retrained.mean', -0.02),
    ('models.top_k.acceleration', float('nan')),
    ('models.top_k.dead', True),
    ('models.top_k.stopped', 'bored'),
    ('models.top_k.probes', {1: {}}),
    ('config', None),
    ('request.num_test', [1]),
    ('models.top_k.settings.k', 2**53 + 1),
  ],
)
def test_what_is_wrong_is_named(report, path, value):
  put(report, path, value)
  refused(report, path)


@pytest.mark.parametrize(
  'value', [float('nan'), np.float32(1), object(), {'x': float('inf')}]
)
def test_free_parts_are_strict_json_too(report, value):
  report['models']['top_k']['probes'] = {'spd_gan': {'curve': [1.0, value]}}
  with pytest.raises(
    ValueError, match=r'^models\.top_k\.probes\.spd_gan\.curve\[1\]'
  ):
    schema.validate(report)


@pytest.mark.parametrize(
  ('path', 'value'),
  [
    ('models.top_k.forgetting_rate', -7.5),
    ('models.top_k.forgetting_rate', 1),
    ('models.top_k.memory_retention_rate', 1.7),
    ('models.top_k.probes', {'spd_gan': {'degree': 0.3, 'curve': [0.1, None]}}),
    ('models.top_k.dead', {'leaves_with_gradient': 1, 'total_leaves': 62}),
    ('models.top_k.seconds.select', None),
    ('models.top_k.unheard_of', 'more may be there'),
  ],
)
def test_ratios_and_additions_are_allowed(report, path, value):
  put(report, path, value)
  schema.validate(report)


def test_the_retrained_model_and_the_reference_agree(report):
  report['reference'] = 'none'
  with pytest.raises(ValueError, match='retrained'):
    schema.validate(report)


def test_a_long_value_is_not_repeated_in_full(report):
  report['reference'] = 'x' * 10_000
  assert len(refused(report, 'reference')) < 200
