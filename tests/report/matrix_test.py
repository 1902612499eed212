import json

import pytest

from jaxunlearn.errors import InputError
from jaxunlearn.report import matrix, paper_tables, paper_words
from jaxunlearn.report.cells import distinct, fractions, take


def edit(path, change):
  content = json.loads(path.read_text())
  change(content)
  path.write_text(json.dumps(content))


def test_every_model_of_every_run_is_a_cell(make_matrix):
  folder = make_matrix('MIXED', ['table2'], 2, (0.05, 0.1), (0, 1))
  found = matrix.read(folder)
  assert found.paper == ('table2',)
  assert set(found.states.values()) == {'done'} and len(found.states) == 8
  assert len(found.cells) == 8 * 5
  rows = ['original', 'top_k', 'random_k', 'random_top_k', 'retrained']
  assert distinct(found.cells, 'row') == rows
  assert distinct(found.cells, 'network') == ['resnet18', 'vgg19']
  (cell,) = take(
    found.cells, row='top_k', network='vgg19', fraction=0.1, seed='1'
  )
  assert cell.recipe == 'top_k' and cell.settings['k'] == 45
  assert cell.width == 16 and cell.done and cell.failed is None
  assert [line['epoch'] for line in cell.history] == [1, 2, 3, 4, 5, 6]
  assert {line['model'] for line in cell.history} == {'top_k'}
  assert cell.folder == folder / 'cells' / 'vgg19-10-1'
  assert cell.values['accuracy']['forget'] < 1


def test_rows_come_in_the_order_of_the_config(make_matrix):
  folder = make_matrix('MIXED')

  def turn(report):
    models = report['models']
    report['models'] = {
      'original': models.pop('original'),
      **dict(reversed(models.items())),
    }

  edit(folder / 'cells' / 'resnet18-10-0' / 'report.json', turn)
  rows = distinct(matrix.read(folder).cells, 'row')
  assert rows == ['original', 'top_k', 'random_k', 'random_top_k', 'retrained']


def test_a_run_without_a_report_is_not_run_and_its_rows_are_known(make_matrix):
  folder = make_matrix('TABLE2', seeds=(0, 1))
  run = folder / 'cells' / 'resnet18-10-1'
  (run / 'report.json').unlink()
  # As another process leaves it, in the middle of a line.
  (run / 'metrics.jsonl').write_text('{"model": "top')
  found = matrix.read(folder)
  assert found.states['resnet18-10-1'] == 'not run'
  (cell,) = take(found.cells, row='eu_5_leaves', seed='1')
  assert cell.recipe == 'eu_k' and cell.settings['k'] == 5
  assert not cell.done and cell.failed is None and cell.values is None
  assert cell.fraction == 0.1 and cell.network == 'resnet18'


def test_a_run_that_failed_says_why(make_matrix):
  folder = make_matrix('MIXED', seeds=(0, 1))
  run = folder / 'cells' / 'resnet18-10-1'
  (run / 'failed.json').write_text('{"failed": "no memory left"}')
  (run / 'report.json').unlink()
  found = matrix.read(folder)
  assert found.states == {
    'resnet18-10-0': 'done',
    'resnet18-10-1': 'no memory left',
  }
  failed = take(found.cells, failed='no memory left')
  assert len(failed) == 5 and not any(cell.done for cell in failed)


def test_what_an_earlier_start_finished_is_not_lost_to_a_failure(make_matrix):
  folder = make_matrix('MIXED', ['table2'])
  run = folder / 'cells' / 'resnet18-10-0'
  (run / 'failed.json').write_text('{"failed": "no memory left."}')
  edit(
    folder / 'config.json',
    lambda c: c['recipes'].update(late={'name': 'cf_k', 'k': 5}),
  )
  found = matrix.read(folder)
  assert found.states == {'resnet18-10-0': 'no memory left.'}
  assert [cell.row for cell in found.cells if not cell.done] == ['late']
  assert paper_words.unfinished(found.cells) == [
    'late of resnet18-10-0 failed: no memory left.'
  ]
  assert paper_words.failed_lately(found) == [
    'resnet18-10-0 failed when it was last run (no memory left); what is shown '
    'of it an earlier start has made.'
  ]


def test_rows_that_the_config_names_no_longer_are_not_drawn(make_matrix):
  folder = make_matrix('MIXED')
  edit(folder / 'config.json', lambda c: c['recipes'].pop('random_top_k'))
  rows = distinct(matrix.read(folder).cells, 'row')
  assert rows == ['original', 'top_k', 'random_k', 'retrained']


def test_a_row_that_failed_says_why(make_matrix, matrices):
  folder = make_matrix('MIXED')

  def fail(report):
    row = report['models']['top_k']
    row['failed'] = 'it diverged'

  matrices.change(folder, 'resnet18-10-0', fail)
  cells = matrix.read(folder).cells
  assert [c.row for c in cells if not c.done] == ['top_k']
  assert take(cells, row='top_k')[0].failed == 'it diverged'


def test_a_row_that_a_finished_run_lacks_is_not_run(make_matrix):
  folder = make_matrix('MIXED')
  edit(
    folder / 'config.json',
    lambda c: c['recipes'].update(late={'name': 'cf_k', 'k': 5}),
  )
  (cell,) = take(matrix.read(folder).cells, row='late')
  assert cell.recipe == 'cf_k' and not cell.done


def test_what_differs_besides_seeds_and_ratio_is_part_of_the_name(make_matrix):
  folder = make_matrix('MIXED', fractions=(0.05, 0.1), seeds=(0, 1))

  def widen(config):
    config['matrix']['resnet18-10-1']['model']['width'] = 64
    config['matrix']['resnet18-10-1']['data'] = {'dir': '/elsewhere'}

  edit(folder / 'config.json', widen)
  cells = matrix.read(folder).cells
  assert distinct(take(cells, fraction=0.05), 'network') == ['resnet18']
  assert distinct(take(cells, fraction=0.1), 'network') == [
    'resnet18, width 16',
    'resnet18, width 64',
  ]


def test_settings_that_end_alike_are_named_in_full(make_matrix):
  folder = make_matrix('MIXED', seeds=(0, 1))

  def tune(config):
    for section in ('train', 'unlearn'):
      config[section]['epochs'] = 5
      config['matrix']['resnet18-10-1'][section]['epochs'] = 9

  edit(folder / 'config.json', tune)
  assert distinct(matrix.read(folder).cells, 'network') == [
    'resnet18, unlearn.epochs 5, train.epochs 5',
    'resnet18, unlearn.epochs 9, train.epochs 9',
  ]


def name_a_class(folder, matrices, runs):
  for run, label in runs.items():
    changes = {'kind': 'class', 'classes': [label]}

    def ask(config, run=run, changes=changes):
      config['forget'].setdefault('classes', [])
      config['matrix'][run]['forget'].update(changes)

    edit(folder / 'config.json', ask)

    def put(report, changes=changes):
      report['config']['forget'].update(changes)
      report['request']['forget_fraction'] = 0.0975

    matrices.change(folder, run, put)


def test_a_class_is_named_with_the_ratio_it_comes_to(make_matrix, matrices):
  folder = make_matrix('MIXED', seeds=(0, 1, 2))
  runs = {'resnet18-10-0': 3, 'resnet18-10-1': 4}
  name_a_class(folder, matrices, runs)
  cells = matrix.read(folder).cells
  found = {(cell.network, cell.fraction) for cell in cells}
  assert found == {
    ('resnet18, class, classes 3', 0.0975),
    ('resnet18, class, classes 4', 0.0975),
    ('resnet18', 0.1),
  }


def test_a_class_that_was_not_run_has_no_ratio_and_no_line(
  make_matrix, matrices
):
  folder = make_matrix('MIXED', ['table2'], seeds=(0, 1))
  name_a_class(folder, matrices, {'resnet18-10-0': 3, 'resnet18-10-1': 4})
  (folder / 'cells' / 'resnet18-10-1' / 'report.json').unlink()
  cells = matrix.read(folder).cells
  assert fractions(cells) == [0.0975]
  text = '\n'.join(str(x) for x in paper_tables.table2(matrix.read(folder)))
  assert 'classes 3' in text and 'Not run: all of resnet18-10-1' in text


def test_seeds_that_differ_among_themselves_are_all_named(make_matrix):
  folder = make_matrix('MIXED')
  edit(
    folder / 'config.json',
    lambda c: c['matrix']['resnet18-10-0']['train'].update(seed=7),
  )
  assert matrix.read(folder).cells[0].seed == '0/7/0'


def test_two_runs_that_differ_in_nothing_are_refused(make_matrix):
  folder = make_matrix('MIXED', seeds=(0, 1))
  edit(
    folder / 'config.json',
    lambda c: c['matrix'].update(twin=c['matrix']['resnet18-10-1']),
  )
  with pytest.raises(InputError, match='twin and resnet18-10-1 of'):
    matrix.read(folder)


@pytest.mark.parametrize(
  ('change', 'said'),
  [
    (lambda c: c.pop('matrix'), 'holds no matrix'),
    (lambda c: c.update(matrix={'a': 1}), 'holds no matrix'),
    (lambda c: c.update(model={'width': 16}), 'is damaged: remove'),
  ],
)
def test_a_config_that_cannot_be_is_refused(make_matrix, change, said):
  folder = make_matrix('MIXED')

  def strip(config):
    for own in config['matrix'].values():
      own.pop('model')
    change(config)

  edit(folder / 'config.json', strip)
  with pytest.raises(InputError, match=said):
    matrix.read(folder)


def test_damaged_files_are_named(make_matrix, matrices):
  folder = make_matrix('MIXED')
  run = folder / 'cells' / 'resnet18-10-0'
  for name in ('metrics.jsonl', 'report.json'):
    (run / name).write_text('{"x": \n')
    with pytest.raises(InputError, match=f'{name} is damaged'):
      matrix.read(folder)


def test_a_report_of_another_schema_is_refused(make_matrix, matrices):
  folder = make_matrix('MIXED')
  matrices.change(folder, 'resnet18-10-0', lambda r: r.update(schema=2))
  with pytest.raises(InputError, match=r'report\.json is damaged \(schema'):
    matrix.read(folder)
