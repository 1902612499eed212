"""The documents say what the results beside them say."""

import importlib.util
import json
import statistics
from pathlib import Path

import pytest

from benchmarks import predicted
from benchmarks import table as benchmarks_table

DOCS = Path(__file__).parent.parent / 'docs'


@pytest.fixture(scope='module')
def side_by_side():
  path = DOCS / 'side_by_side.py'
  spec = importlib.util.spec_from_file_location('side_by_side', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def test_the_tables_of_the_reproduction_are_those_of_the_results(side_by_side):
  text = (DOCS / 'reproduction.md').read_text()
  for size in ('small', 'full'):
    tables = list(side_by_side.tables(DOCS / 'results' / size))
    assert tables
    for table in tables:
      assert table in text


def test_the_printed_table_ii_is_whole(side_by_side):
  rows = ('top_k', 'random_k', 'eu_5_leaves', 'eu_10_leaves', 'cf_5_leaves')
  rows += ('cf_10_leaves', 'retrained')
  lines = {
    (fraction, row): side_by_side._printed('resnet18', fraction, row)
    for fraction in (0.05, 0.1, 0.15, 0.2)
    for row in rows
  }
  assert all(lines.values())
  top_k = lines[0.05, 'top_k']
  assert top_k['accuracy_forget'] == '80.01'
  assert round(top_k['acceleration'], 1) == 15.5
  assert not side_by_side._printed('vgg19', 0.1, 'top_k')


def test_the_tables_of_scaling_are_those_of_results_and_formulas():
  page = (DOCS / 'scaling.md').read_text()
  for name in ('scaling', 'seconds'):
    found = json.loads((DOCS / f'results/{name}_cpu.json').read_text())
    results = [x for x in found['results'] if x['benchmark'] == name]
    assert benchmarks_table.table(results) in page
    assert all(result['met'] is not False for result in results)
  assert predicted.table() in page


@pytest.mark.parametrize(
  ('name', 'part'),
  [
    ('benchmarks_cpu', 'results'),
    ('step_parts_cpu', 'results'),
    ('accelerator_h200', 'results'),
    ('accelerator_h200', 'kernels'),
  ],
)
def test_the_tables_of_performance_are_those_of_their_results(name, part):
  found = json.loads((DOCS / f'results/{name}.json').read_text())
  assert (
    benchmarks_table.table(found[part]) in (DOCS / 'performance.md').read_text()
  )


def test_what_is_compiled_for_a_card_is_what_its_results_say():
  found = json.loads((DOCS / 'results/ahead_h200.json').read_text())
  page = (DOCS / 'performance.md').read_text()
  for program in found['27daecd']:
    for commit in ('27daecd', '8a038e3', '55954bc'):
      made = found[commit][program]
      seconds = statistics.median(made['compile_seconds'])
      cells = (
        program,
        commit,
        made['outside'],
        ' and '.join(map(str, made['loops'])),
        f'{made["in_all"]:,}',
        f'{seconds:.3g} s',
        f'{made["temporary_bytes"] / 1e6:.3g} MB',
      )
      assert f'| {" | ".join(map(str, cells))} |' in page


def test_forty_epochs_of_top_k_are_what_their_results_say():
  found = json.loads((DOCS / 'results/top_k_full_h200.json').read_text())
  page = (DOCS / 'reproduction.md').read_text().split('### Top-K for 40 epochs')
  words = page[1].split('\n## ')[0].replace('\n', ' ')
  forget, retain = (
    [100 * epoch[f'accuracy_{name}'] for epoch in found['epochs']]
    for name in ('forget', 'retain')
  )
  assert len(forget) == 40
  below = [a - b for a, b in zip(retain, forget, strict=True)]
  for number in (
    min(forget),
    statistics.median(forget[:10]),
    statistics.median(forget[-10:]),
    forget[-1],
    retain[-1],
    max(below),
    statistics.median(below),
  ):
    assert f'{number:.2f}' in words
  assert f'(epoch {1 + forget.index(min(forget))})' in words


def test_costs_by_size_are_those_of_their_results():
  found = json.loads((DOCS / 'results/benchmarks_cpu.json').read_text())
  page = (DOCS / 'performance.md').read_text()
  grown = [result for result in found['results'] if result['points']]
  assert len(grown) == 4
  for result in grown:
    assert f'| {result["name"]} | {result["note"]} |' in page
