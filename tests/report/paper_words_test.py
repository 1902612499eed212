import pytest

from jaxunlearn.report import matrix, paper_words
from jaxunlearn.report.cells import take


def put_degrees(matrices, folder, run, **degrees):
  def put(report):
    for row, degree in degrees.items():
      report['models'][row]['probes']['spd_gan']['degree'] = degree

  matrices.change(folder, run, put)


def test_ratios_are_spoken_of_in_per_cent():
  assert paper_words.percent(0.15) == '15 %'
  assert paper_words.percent(0.025) == '2.5 %'


def test_failures_are_told_once_a_cause(make_matrix, matrices):
  folder = make_matrix('MIXED', seeds=(0, 1, 2))
  run = folder / 'cells' / 'resnet18-10-1'
  (run / 'failed.json').write_text('{"failed": "no memory left"}')
  (run / 'report.json').unlink()
  (folder / 'cells' / 'resnet18-10-2' / 'report.json').unlink()

  def fail(report):
    for row in ('top_k', 'random_k'):
      report['models'][row]['failed'] = 'it diverged.'
    report['models']['retrained']['probes']['spd_gan'] = {'failed': 'so it is'}

  matrices.change(folder, 'resnet18-10-0', fail)
  assert paper_words.unfinished(matrix.read(folder).cells) == [
    'top_k and random_k of resnet18-10-0 failed: it diverged.',
    'SPD-GAN on retrained of resnet18-10-0 failed: so it is.',
    'All of resnet18-10-1 failed: no memory left.',
    'Not run: all of resnet18-10-2.',
  ]


def test_times_of_several_devices_are_told(make_matrix, matrices):
  folder = make_matrix('MIXED', seeds=(0, 1))
  assert paper_words.devices(matrix.read(folder).cells) == []
  matrices.change(
    folder,
    'resnet18-10-0',
    lambda r: r['environment'].update(device='NVIDIA H200'),
  )
  (sentence,) = paper_words.devices(matrix.read(folder).cells)
  assert 'NVIDIA H200; cpu' in sentence and 'do not compare' in sentence


def test_a_finished_matrix_has_nothing_unfinished(make_matrix):
  cells = matrix.read(make_matrix('MIXED')).cells
  assert paper_words.unfinished(cells) == []
  rows = [cell for cell in cells if cell.recipe != 'original']
  assert paper_words.unconverged(rows) == []


def test_what_did_not_converge_is_named_with_its_seeds(make_matrix, matrices):
  folder = make_matrix('MIXED', fractions=(0.05, 0.1), seeds=(0, 1))
  for run in ('resnet18-5-0', 'resnet18-10-0', 'resnet18-10-1'):

    def put(report, run=run):
      for row in ('top_k', 'random_k'):
        matrices.unconverge(report['models'][row])
      if run == 'resnet18-5-0':
        matrices.unconverge(report['models']['retrained'])

    matrices.change(folder, run, put)
  rows = [c for c in matrix.read(folder).cells if c.recipe != 'original']
  assert paper_words.unconverged(rows) == [
    'Not converged within the epochs: top_k and random_k on resnet18 at 5 % '
    '(1 of 2 seeds) and resnet18 at 10 % (2 of 2 seeds).',
    'Not converged within the epochs: retrained on resnet18 at 5 % (1 of 2 '
    'seeds).',
  ]


@pytest.mark.parametrize('idle', [0.5, 0.6])
def test_a_degree_that_forgetting_nothing_reaches_is_told(
  make_matrix, matrices, idle
):
  folder = make_matrix('DEGREE')
  put_degrees(
    matrices,
    folder,
    'resnet18-10-0',
    top_k=0.5,
    random_k=0.9,
    eu_10_leaves=0.8,
    cf_10_leaves=0.7,
    retrained=0.3,
    retrained_again=0.1,
    finetune_all=idle,
  )
  (sentence,) = paper_words.degrees(matrix.read(folder).cells)
  assert sentence.startswith('finetune_all was fine-tuned on all data')
  assert 'resnet18 at 10 %' in sentence
  # The strongest case: as high as the model that never saw the examples.
  assert 'top_k (50.00) and retrained (30.00):' in sentence
  assert 'random_k' not in sentence


def test_what_forgot_nothing_is_not_beaten(make_matrix, matrices):
  folder = make_matrix('DEGREE')
  degrees = {'cf_10_leaves': 0.0, 'top_k': 0.1, 'finetune_all': 0.2}
  put_degrees(matrices, folder, 'resnet18-10-0', **degrees)

  def keep(report):
    report['models']['cf_10_leaves']['forgetting_rate'] = 0.0

  assert any('cf_10' in x for x in paper_words.degrees(_cells(folder)))
  matrices.change(folder, 'resnet18-10-0', keep)
  found = paper_words.degrees(_cells(folder))
  assert any('top_k' in x for x in found)
  assert not any('cf_10' in x for x in found)


def _cells(folder):
  return matrix.read(folder).cells


def test_a_degree_that_chance_reaches_is_told(make_matrix, matrices):
  folder = make_matrix('DEGREE')
  put_degrees(
    matrices,
    folder,
    'resnet18-10-0',
    finetune_all=-0.5,
    retrained=-0.4,
    retrained_again=-0.4,
  )
  (sentence,) = paper_words.degrees(matrix.read(folder).cells)
  assert sentence.startswith('retrained_again differs from the first')
  assert 'that of retrained (-40.00):' in sentence


def test_a_degree_that_tells_them_apart_needs_no_words(make_matrix, matrices):
  folder = make_matrix('DEGREE')
  put_degrees(
    matrices,
    folder,
    'resnet18-10-0',
    finetune_all=-0.5,
    retrained=-0.4,
    retrained_again=-0.5,
  )
  assert paper_words.degrees(matrix.read(folder).cells) == []


def test_references_are_known_by_their_recipes(make_matrix):
  cells = matrix.read(make_matrix('DEGREE')).cells
  assert [c.row for c in cells if paper_words.is_reference(c)] == [
    'original',
    'retrained_again',
    'finetune_all',
    'retrained',
  ]
  whom = {c.row: paper_words.against(c) for c in cells}
  assert whom['retrained_again'] == 'retrained'
  assert whom['top_k'] == 'original'
  (cell,) = take(cells, row='top_k')
  assert paper_words.against(cell._replace(values={})) == 'original'


def test_missing_references_are_told_by_place(make_matrix, matrices):
  folder = make_matrix('DEGREE', fractions=(0.05, 0.1, 0.2), seeds=(0, 1))
  assert paper_words.unreferenced(matrix.read(folder).cells) == []
  cells = [c for c in matrix.read(folder).cells if c.row != 'finetune_all']
  again = [c for c in cells if c.fraction != 0.1 or c.row != 'retrained_again']
  first, second = paper_words.unreferenced(again)
  assert first.startswith('The degrees on resnet18 at 5 % and resnet18 at 20 %')
  assert 'retraining' not in first and "{'name': 'finetune_all'}" in first
  assert second.startswith('The degrees on resnet18 at 10 % lack')
  assert "config.recipes.retrained_again = {'name': 'retrain'}" in second
  # What was not run is told as such.
  waiting = [c._replace(values=None) for c in again if c.row == 'retrained']
  waiting = [c._replace(recipe='finetune_all', row='x') for c in waiting]
  (sentence,) = paper_words.unreferenced([*again, *waiting])
  assert 'resnet18 at 10 % lack' in sentence and 'all data' not in sentence


def test_no_reference_is_missing_of_degrees_that_there_are_none_of(make_matrix):
  cells = matrix.read(make_matrix('MIXED')).cells
  bare = [c._replace(values=c.values | {'probes': {}}) for c in cells]
  assert paper_words.unreferenced(cells) and not paper_words.unreferenced(bare)
