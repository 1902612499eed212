import json
import re

import pytest

from jaxunlearn import report as package
from jaxunlearn.errors import InputError
from jaxunlearn.report import paper

ALL = [*paper.TABLES, *paper.FIGURES]


def keep(folder, name, rows, **changes):
  """Another config of the same cells, with some of the rows."""
  config = json.loads((folder / 'config.json').read_text()) | changes
  config['recipes'] = {row: config['recipes'][row] for row in rows}
  (folder / 'configs').mkdir(exist_ok=True)
  (folder / 'configs' / f'{name}.json').write_text(json.dumps(config))


def page_of(folder):
  return (folder / 'report.md').read_text()


def test_all_that_the_config_names_is_written(make_matrix):
  folder = make_matrix('DEGREE', ALL, fractions=(0.05, 0.1))
  files = package.write_matrix(folder)
  names = [path.relative_to(folder).as_posix() for path in files]
  assert names == [
    *(
      f'tables/{table}.{suffix}'
      for table in ('table1', 'table2', 'degrees')
      for suffix in ('md', 'csv', 'tex')
    ),
    *(f'figures/figure{i}.png' for i in (1, 4, 5, 6, 7, 8, 9)),
    'report.md',
  ]
  page = page_of(folder)
  links = re.findall(r'\(<(.*?)>\)', page)
  assert all((folder / link).is_file() for link in links) and len(links) == 13
  assert '- runs: 2, of which 2 finished, 0 not run and 0 failed' in page
  assert '- data: tfds:cifar10' in page and '- device: cpu' in page
  assert '**Table II.**' in page and '### Figure 9' in page
  assert not list(folder.rglob('*.partial'))


def test_nothing_but_what_is_named_is_written(make_matrix):
  folder = make_matrix('MIXED', ['table2'])
  package.write_matrix(folder)
  assert not (folder / 'figures').exists()
  assert '## Figures' not in page_of(folder) and '## Remarks' not in page_of(
    folder
  )


def test_the_same_results_give_the_same_bytes(make_matrix):
  folder = make_matrix('DEGREE', ['table2', 'figure1', 'figure9'])
  before = {path: path.read_bytes() for path in package.write_matrix(folder)}
  after = {path: path.read_bytes() for path in package.write_matrix(folder)}
  assert after == before


def test_a_matrix_that_has_only_begun_is_drawn_as_far_as_it_is(make_matrix):
  folder = make_matrix('DEGREE', ALL, fractions=(0.05, 0.1))
  (folder / 'cells' / 'resnet18-10-0' / 'report.json').unlink()
  assert len(package.write_matrix(folder)) == 17
  page = page_of(folder)
  assert '2, of which 1 finished, 1 not run' in page
  assert '- Not run: all of resnet18-10-0.' in page
  (folder / 'cells' / 'resnet18-5-0' / 'failed.json').write_text('{}')
  (folder / 'cells' / 'resnet18-5-0' / 'report.json').unlink()
  assert len(package.write_matrix(folder)) == 10
  page = page_of(folder)
  assert '0 finished, 1 not run and 1 failed' in page
  assert 'Figure 9 has nothing to show yet.' in page
  assert 'All of resnet18-5-0 failed: it does not say why.' in page


def test_a_degree_that_tells_nothing_is_told_in_words(make_matrix, matrices):
  folder = make_matrix('DEGREE', ['figure9'])

  def put(report):
    models = report['models']
    models['top_k']['probes']['spd_gan']['degree'] = 0.2
    models['finetune_all']['probes']['spd_gan']['degree'] = 0.3

  matrices.change(folder, 'resnet18-10-0', put)
  package.write_matrix(folder)
  assert r'- finetune\_all was fine-tuned on all data' in page_of(folder)


def test_a_page_of_degrees_says_once_which_references_it_lacks(make_matrix):
  for i, (paper_of, said) in enumerate(
    ((['figure9'], 1), (['degrees', 'figure9'], 1), (['table2'], 0))
  ):
    folder = make_matrix('MIXED', paper_of)
    package.write_matrix(folder)
    found = page_of(folder).count('lack what tells forgetting')
    assert found == said, paper_of
    folder.rename(folder.with_name(f'done{i}'))


def test_an_unknown_name_is_refused_before_anything_is_written(make_matrix):
  folder = make_matrix('MIXED', ['table2', 'figure3'])
  with pytest.raises(InputError, match="'figure3'; there are table1, "):
    package.write_matrix(folder)
  assert not (folder / 'tables').exists()


def test_a_run_is_redrawn_from_its_folder(report, history, tmp_path):
  written = package.write(tmp_path, report, history)
  (tmp_path / 'metrics.jsonl').write_text(
    ''.join(json.dumps(line) + '\n' for line in history)
  )
  before = {path: path.read_bytes() for path in written}
  for path in written:
    if path.name != 'report.json':
      path.unlink()
  assert package.redraw(tmp_path) == written
  assert {path: path.read_bytes() for path in written} == before


def test_all_configs_of_a_workdir_are_drawn_each_with_its_own_rows(make_matrix):
  folder = make_matrix('DEGREE', ['degrees', 'figure9'])
  last = folder / 'config.json'
  keep(folder, 'degrees-figure9', json.loads(last.read_text())['recipes'])
  keep(folder, 'table1-table2', ['top_k'], paper=['table1', 'table2'])
  keep(folder, 'figure8', ['top_k', 'random_k'], paper=['figure8'])
  files = [str(x.relative_to(folder)) for x in package.redraw(folder)]
  assert [x for x in files[4:] if not x.endswith(('.csv', '.tex'))] == [
    *('tables/table1.md', 'tables/table2.md', 'tables/degrees.md'),
    *('figures/figure9.png', 'figures/figure8.png', 'report.md'),
  ]
  rows = (folder / 'tables/table2.csv').read_text()
  assert 'top_k' in rows and 'finetune_all' not in rows
  assert 'finetune_all' in (folder / 'tables/degrees.csv').read_text()
  page = page_of(folder)
  assert re.findall('^## .*', page, re.MULTILINE) == [
    '## table1 and table2',
    '## degrees and figure9',
    '## figure8',
  ]
  assert page.count('- runs: 1, of which 1 finished') == 3
  assert '#### Figure 9' in page and '\n### Figures' in page
  # Whichever was the last.
  last.write_text((folder / 'configs/figure8.json').read_text())
  assert [str(x.relative_to(folder)) for x in package.redraw(folder)] == files
  assert page_of(folder) == page


def test_what_two_configs_ask_for_the_last_one_draws(make_matrix):
  folder = make_matrix('DEGREE', ['table1', 'figure8'])
  keep(folder, 'table1-table2', ['top_k'], paper=['table1', 'table2'])
  keep(folder, 'table1', ['top_k'], paper=['table1'])
  package.write_matrix(folder)
  assert 'finetune_all' in (folder / 'tables/table1.csv').read_text()
  page = page_of(folder)
  assert page.count('**Table I.**') == page.count('**Table II.**') == 1
  assert re.findall('^## .*', page, re.MULTILINE) == [
    '## table1 and figure8',
    '## table2',
  ]


@pytest.mark.parametrize(
  'change',
  [
    {'paper': ['../figure8']},
    {'paper': 'figure8'},
    {'paper': 8},
    {'paper': [['figure8']]},
    {'matrix': {'../../other': {}}},
    {'matrix': {'..': {}}},
    {'matrix': {'a': {'recipes': {'../top_k': {'name': 'top_k'}}}}},
    {'matrix': []},
    {'model': {}},
  ],
)
def test_a_kept_config_that_cannot_be_is_refused(make_matrix, change):
  folder = make_matrix('MIXED', ['figure8'])
  if 'model' in change:
    change = change | {'matrix': {'a': {}}}
  keep(folder, 'table2', [], **change)
  for check in (
    lambda: package.write_matrix(folder),
    lambda: package.check_kept(folder, ['figure8']),
  ):
    with pytest.raises(InputError, match=r'table2\.json|names .*figure8'):
      check()
  # Its place is the new one's.
  package.check_kept(folder, ['table2'])
  assert not (folder / 'report.md').exists()
