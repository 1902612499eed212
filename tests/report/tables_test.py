import copy
import io
import random
import re

import rich.console

from jaxunlearn.report import grids, tables


def printed(report, width):
  stream = io.StringIO()
  console = rich.console.Console(file=stream, width=width)
  console.print(tables.console(report, width))
  return stream.getvalue().splitlines()


def many_rows(report):
  """As wide as it gets: eight long names, and the largest values."""
  row = report['models'].pop('random_k_eps-2')
  for name in ('finetune', 'top_k', 'top_k_lambda_0'):
    del report['models'][name]
  for i in range(8):
    row = copy.deepcopy(row)
    row['accuracy'] |= {'forget': 1.0, 'retain': 1.0, 'test': 1.0}
    row |= {'forgetting_rate': -0.1234, 'memory_retention_rate': 1.0002}
    row |= {'similarity': 1.0, 'epochs': 100, 'acceleration': 15.46}
    row['selected'] |= {'scalars': 11173962 - i, 'leaves': 362}
    row['gap_to_retrained']['mean'] = 0.1123
    row['seconds']['total'] = 1190.15
    report['models'][f'random_top_k_eps-{i}'] = row
  return report


def test_a_row_has_a_cell_for_each_heading(report):
  rows = tables.rows(report)
  assert [row[0] for row in rows] == list(report['models'])
  assert all(len(row) == len(tables.headers) for row in rows)


def test_cells_are_the_papers_numbers(report):
  cells = dict(zip(tables.headers, tables.rows(report)[-1], strict=True))
  assert cells == {
    'model': 'random_k_eps-2',
    'acc forget': '80.14',
    'acc retain': '97.19',
    'acc test': '81.02',
    'FR': '19.84',
    'MRR': '97.21',
    'similarity': '88.37',
    'gap to retrained': '3.70',
    'scalars': '558,698',
    'leaves': '62',
    'epochs': '5',
    'seconds': '6.92',
    'compile': '3.10',
    'acceleration': '–',
  }


def test_not_measured_is_a_dash_and_never_0(unreferenced):
  unreferenced['models']['top_k']['gap_to_retrained'] = None
  unreferenced['models']['top_k']['forgetting_rate'] = 0.0
  cells = dict(zip(tables.headers, tables.rows(unreferenced)[2], strict=True))
  assert cells['model'] == 'top_k' and cells['FR'] == '0.00'
  for name in ('similarity', 'gap to retrained', 'acceleration'):
    assert cells[name] == '–'


def test_the_terminal_shows_every_row_whole_at_100_columns(report):
  report = many_rows(report)
  lines = printed(report, 100)
  assert lines == [line[:100] for line in lines]
  # Ten rows, a heading, a rule, a title and a caption: nothing is wrapped.
  assert len(lines) == 14
  assert not re.search('…', '\n'.join(lines))
  for name in report['models']:
    (line,) = [line for line in lines if line.startswith(f'{name} ')]
    assert len(line.split()) == 13
  assert '11.17M' in lines[-2] and '15.5×' in lines[-2]
  assert '-12.34' in lines[-2] and '1190' in lines[-2]


def test_a_terminal_of_80_columns_goes_without_what_matters_least(report):
  report = many_rows(report)
  lines = printed(report, 80)
  assert len(lines) == 15 and max(map(len, lines)) <= 80
  assert '…' not in '\n'.join(lines)
  for name in report['models']:
    assert sum(line.startswith(f'{name} ') for line in lines) == 1
  for short in ('forget', 'retain', 'test', 'FR', 'sec', 'accel'):
    assert short in lines[1].split()
  assert 'MRR' not in lines[1] and 'no room for MRR, leaves' in lines[-1]
  assert 'no room' not in printed(report, 100)[-1]


def test_a_very_long_name_is_folded_at_half_the_width(report):
  report['models']['x' * 80] = report['models']['top_k']
  lines = printed(report, 80)
  folded = [line.split()[0] for line in lines if line.startswith('x')]
  assert ''.join(folded) == 'x' * 80 and len(folded[0]) >= 40
  assert max(map(len, lines)) <= 80 and '…' not in '\n'.join(lines)


def test_the_terminal_takes_names_as_they_are(report):
  report['models']['[red]x[/]'] = report['models']['top_k']
  assert any(line.startswith('[red]x[/]') for line in printed(report, 100))


def test_counts_are_shortened_to_six_characters():
  short = {
    45: '45',
    999: '999',
    6666: '6.666k',
    49162: '49.16k',
    558698: '558.7k',
    999_999: '1000k',
    11173962: '11.17M',
  }
  for value, text in short.items():
    assert tables._short_count(value) == text


def test_the_page_holds_table_remarks_settings_and_figures(report):
  page = tables.markdown(report, ['figures/accuracy.png'])
  assert page.startswith('# Unlearning report\n')
  for part in (
    '- to be forgotten: 5,000 (10.00 %)',
    r'| random\_k\_eps-2 | 80.14 |',
    '- Over-forgetting: ',
    r'- top\_k: factor = 0.1, js\_weight = 0.1',
    '- jax: 0.10.2',
    '![accuracy](<figures/accuracy.png>)',
    '(Eq. 17)',
    '(Eq. 18)',
  ):
    assert part in page
  assert '## Probes' not in page
  table = [line for line in page.splitlines() if line.startswith('|')]
  assert len(table) == 2 + len(report['models'])
  assert len({line.count('|') for line in table}) == 1


def test_probes_are_shown_where_there_are_some(report):
  found = {'degree': 0.31234, 'psnr': None, 'own': 0.31234, 'curve': [0.1]}
  report['models']['top_k']['probes'] = {'spd_gan': found}
  page = tables.markdown(report, [])
  probes = page.partition('## Probes')[2].partition('##')[0].strip()
  assert probes.splitlines() == [
    r'| spd\_gan | degree | psnr | own |',
    '| --- | ---: | ---: | ---: |',
    r'| top\_k | 31.23 | – | 0.3123 |',
  ]


def test_every_column_is_defined_with_its_unit(report, matrices):
  _, _, rules = tables.markdown(report, []).partition('## How the columns')
  defined = re.findall(r'^- (.*?): ', rules, re.MULTILINE)
  assert {*tables.headers[1:]} <= {
    x for part in defined for x in part.split(', ')
  }
  assert 'psnr' not in rules
  matrices._add_degrees(report['models'], 0.1, random.Random(0))
  page = tables.markdown(report, [])
  _, _, rules = page.partition('## How the columns')
  for name in report['models']['top_k']['probes']['spd_gan']:
    assert f'\n- {grids.escape(name)}: ' in rules
  for part in ('31.40 |', '99.98 |', '| original |', 'dB', 'points'):
    assert part in page
  assert 'why there is no answer' not in rules


def test_a_name_cannot_break_the_page(report):
  name = 'a|b\n<img>`*_[x](y)'
  report['models'][name] = report['models']['top_k']
  page = tables.markdown(report, [])
  assert r'| a\|b \<img\>\`\*\_\[x\](y) | 96.72 |' in page
  assert '<img>' not in page.replace(r'\<img\>', '')
