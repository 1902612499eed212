import csv
import io
import math
import shutil
import subprocess

import pytest

from jaxunlearn.report import grids, matrix, paper, paper_tables


def lines(grid):
  return [line for block in grid.blocks for line in block]


def records(grid):
  return list(csv.DictReader(io.StringIO(grids.csv(grid))))


def test_table_1_counts_entries_by_network(make_matrix, matrices):
  folder = make_matrix('TABLE2', networks=2, seeds=(0, 1))
  for seed, scalars in ((0, 558_000), (1, 559_000)):

    def put(report, scalars=scalars):
      for row in ('top_k', 'random_k'):
        report['models'][row]['selected']['scalars'] = scalars

    matrices.change(folder, f'vgg19-10-{seed}', put)
  grid = paper_tables.table1(matrix.read(folder))
  assert grid.headers == ['strategy', 'resnet18', 'vgg19']
  strategies = [line[0] for line in lines(grid)]
  assert strategies == [*matrices.TABLE2, 'all entries']
  assert lines(grid)[1][2] == '558,500 ± 707 in 62'
  assert lines(grid)[0][2] == '558,500 ± 707 in 45'
  assert lines(grid)[-1][1:] == ['11,173,962 in 62'] * 2
  found = [r for r in records(grid) if r['network'] == 'vgg19']
  assert found[1]['strategy'] == 'random_k'
  assert float(found[1]['scalars_mean']) == 558_500
  assert math.isclose(float(found[1]['scalars_std']), 500 * math.sqrt(2))
  assert found[1]['scalars_n'] == '2' and found[1]['leaves_mean'] == '62.0'


def test_in_table_1_ratios_are_no_seeds(make_matrix):
  folder = make_matrix('MIXED', fractions=(0.05, 0.1, 0.2))
  grid = paper_tables.table1(matrix.read(folder))
  assert not any('±' in cell for line in lines(grid) for cell in line)
  assert {r['scalars_n'] for r in records(grid)} == {'1'}
  assert {r['scalars_std'] for r in records(grid)} == {''}


def test_a_mean_of_small_counts_is_not_rounded(make_matrix, matrices):
  folder = make_matrix('MIXED', fractions=(0.05, 0.1), seeds=(0, 1))
  for run, leaves in (('5-0', 1), ('10-0', 2), ('5-1', 4), ('10-1', 4)):

    def put(report, leaves=leaves):
      selected = report['models']['top_k']['selected']
      selected |= {'scalars': 45, 'leaves': leaves}

    matrices.change(folder, f'resnet18-{run}', put)
  grid = paper_tables.table1(matrix.read(folder))
  # 1.5 and 4, the seeds' means over their ratios.
  assert lines(grid)[0][1] == '45 in 2.8 ± 1.8'


def test_nothing_selected_is_a_dash(make_matrix):
  grid = paper_tables.table1(matrix.read(make_matrix('SWEEP')))
  assert lines(grid)[0] == ['finetune', '–']


def test_table_2_groups_by_ratio_and_ends_with_the_retrained(make_matrix):
  folder = make_matrix('MIXED', fractions=(0.2, 0.05))
  grid = paper_tables.table2(matrix.read(folder))
  assert [block[0][:3] for block in grid.blocks] == [
    ['resnet18', '5 %', 'top_k'],
    ['resnet18', '20 %', 'top_k'],
  ]
  strategies = ['top_k', 'random_k', 'random_top_k', 'retrained']
  for block in grid.blocks:
    assert [line[2] for line in block] == strategies
    assert all(len(line) == len(grid.headers) for line in block)
  assert not any('±' in cell for line in lines(grid) for cell in line)
  assert {r['seconds_std'] for r in records(grid)} == {''}


def test_table_2_has_mean_and_deviation_over_seeds(make_matrix, matrices):
  folder = make_matrix('MIXED', seeds=(0, 1, 2))
  for seed, forget in enumerate((0.8, 0.81, 0.82)):

    def put(report, forget=forget):
      row = report['models']['top_k']
      row['accuracy']['forget'] = forget
      row['forgetting_rate'] = 1 - forget

    matrices.change(folder, f'resnet18-10-{seed}', put)
  grid = paper_tables.table2(matrix.read(folder))
  cells = dict(zip(grid.headers, lines(grid)[0], strict=True))
  assert cells['acc forget'] == '81.00 ± 1.00' and cells['n'] == '3'
  assert cells['FR'] == '19.00 ± 1.00'
  assert cells['seconds'] == '6.02 ± 0.00'
  assert cells['seconds, all'] == '6.92 ± 0.00'
  (first, *_) = records(grid)
  assert first['strategy'] == 'top_k' and first['forget_fraction'] == '0.1'
  assert math.isclose(float(first['accuracy_forget_mean']), 0.81)
  assert math.isclose(float(first['accuracy_forget_std']), 0.01)
  assert first['accuracy_forget_n'] == '3'


def test_what_did_not_converge_has_no_time_and_a_note(make_matrix, matrices):
  folder = make_matrix('MIXED')
  matrices.change(
    folder,
    'resnet18-10-0',
    lambda r: matrices.unconverge(r['models']['random_k']),
  )
  grid = paper_tables.table2(matrix.read(folder))
  cells = dict(zip(grid.headers, lines(grid)[1], strict=True))
  assert cells['seconds'] == '–' and cells['seconds, all'] == '6.92'
  assert grid.notes == [
    'Not converged within the epochs: random_k on resnet18 at 10 %.'
  ]


def test_where_some_seeds_have_no_time_its_own_n_is_said(make_matrix, matrices):
  folder = make_matrix('MIXED', seeds=(0, 1, 2))
  matrices.change(
    folder,
    'resnet18-10-0',
    lambda r: matrices.unconverge(r['models']['random_k']),
  )
  grid = paper_tables.table2(matrix.read(folder))
  cells = dict(zip(grid.headers, lines(grid)[1], strict=True))
  assert cells['seconds'].endswith(' (n = 2)') and cells['n'] == '3'
  assert '(n' not in cells['acc forget'] + cells['seconds, all']


@pytest.mark.parametrize('state', ['failed', 'not run'])
def test_a_row_that_is_not_there_says_so(make_matrix, state):
  folder = make_matrix('MIXED', fractions=(0.05, 0.1))
  run = folder / 'cells' / 'resnet18-10-0'
  (run / 'report.json').unlink()
  if state == 'failed':
    (run / 'failed.json').write_text('{"failed": "no memory left."}')
  grid = paper_tables.table2(matrix.read(folder))
  for line in grid.blocks[1]:
    cells = dict(zip(grid.headers, line, strict=True))
    assert cells['acc forget'] == state and cells['n'] == '0'
    assert cells['acc retain'] == cells['seconds'] == '–'
  (note,) = grid.notes
  assert 'resnet18-10-0' in note
  assert ('no memory left' in note) == (state == 'failed')
  assert [r['state'] for r in records(grid)] == ['done'] * 4 + [state] * 4


def test_with_one_seed_of_two_failed_the_other_counts(make_matrix):
  folder = make_matrix('MIXED', seeds=(0, 1))
  run = folder / 'cells' / 'resnet18-10-0'
  (run / 'failed.json').write_text('{}')
  (run / 'report.json').unlink()
  grid = paper_tables.table2(matrix.read(folder))
  assert {line[-1] for line in lines(grid)} == {'1'}
  assert not any('±' in cell for line in lines(grid) for cell in line)


def test_a_row_has_one_line_though_a_seed_of_it_is_missing(make_matrix):
  folder = make_matrix('DEGREE', seeds=(0, 1))
  (folder / 'cells' / 'resnet18-10-1' / 'report.json').unlink()
  names = [line[2] for line in lines(paper_tables.degrees(matrix.read(folder)))]
  assert len(names) == len(set(names)) == 8
  assert 'retrained_again, against retrained' in names


def test_degrees_stand_beside_what_one_needs_to_read_them(make_matrix):
  folder = make_matrix('DEGREE', fractions=(0.1,))
  grid = paper_tables.degrees(matrix.read(folder))
  assert grid.headers[3:] == [
    *('acc forget', 'degree', 'acc before', 'acc original', 'acc judged'),
    *('L2', 'L∞', 'PSNR', 'SSIM', 'n'),
  ]
  found = {line[2]: line[3:] for line in lines(grid)}
  assert found['original'][1] == '0.00'
  assert found['original'][7] == '–'
  assert found['retrained'][1:] == [
    *('42.00', '99.98', '98.00', '56.00', '1.50', '0.200', '31.40', '0.930'),
    '1',
  ]
  assert 'retrained_again, against retrained' in found
  (record,) = [r for r in records(grid) if r['strategy'] == 'finetune_all']
  assert float(record['degree_mean']) == 0.31


@pytest.mark.skipif(not shutil.which('pdflatex'), reason='needs pdflatex')
def test_the_tables_fit_a_page_of_two_columns(make_matrix, tmp_path):
  folder = make_matrix('DEGREE', ['degrees'], 2, (0.05, 0.1), (0, 1, 2))
  for name, table in paper.TABLES.items():
    text = grids.latex(table(matrix.read(folder)))
    (tmp_path / f'{name}.tex').write_text(text)
  (tmp_path / 'page.tex').write_text(
    '\\documentclass[twocolumn]{article}\n'
    '\\usepackage{booktabs,graphicx}\n\\begin{document}\n'
    + ''.join(f'\\input{{{name}}}\n' for name in paper.TABLES)
    + '\\end{document}\n'
  )
  said = subprocess.run(
    ['pdflatex', '-interaction=batchmode', 'page.tex'],
    cwd=tmp_path,
    check=True,
    capture_output=True,
  )
  log = (tmp_path / 'page.log').read_text('latin-1')
  assert 'Output written on page.pdf' in log, said
  assert 'Overfull' not in log and 'Missing character' not in log
