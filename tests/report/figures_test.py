import subprocess
import sys

import matplotlib.image
import pytest

from jaxunlearn.report import figures


def pixels(path):
  return matplotlib.image.imread(path)[..., :3]


def has_colour(path, colour):
  red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
  distance = abs(pixels(path) - (red, green, blue)).sum(-1)
  return bool((distance < 0.02).any())


def test_both_figures_are_drawn_a_column_wide(report, history, tmp_path):
  history.append({'model': 'top_k', 'epoch': 1, 'step': 1, 'loss': 2.3})
  names = figures.draw(report, history, tmp_path / 'figures')
  assert names == ['accuracy.png', 'curves.png']
  assert sorted(p.name for p in (tmp_path / 'figures').iterdir()) == names
  for name in names:
    image = pixels(tmp_path / 'figures' / name)
    assert image.shape[1] == 700 and image.shape[0] > 300
    for split in ('forget', 'retain'):
      colour = figures._SPLITS[split]['color']
      assert has_colour(tmp_path / 'figures' / name, colour)


def test_the_same_report_gives_the_same_bytes(report, history, tmp_path):
  for folder in ('a', 'b'):
    figures.draw(report, history, tmp_path / folder)
  for name in ('accuracy.png', 'curves.png'):
    assert (tmp_path / 'a' / name).read_bytes() == (
      tmp_path / 'b' / name
    ).read_bytes()


@pytest.mark.parametrize('rows', [0, 1, 3, 8])
def test_any_number_of_rows_is_drawn(report, history, tmp_path, rows):
  row = report['models'].pop('top_k')
  for name in ('finetune', 'top_k_lambda_0', 'random_k_eps-2'):
    del report['models'][name]
  for i in range(rows):
    report['models'][f'random_top_k_eps-{i}'] = row
  history = [
    line | {'model': f'random_top_k_eps-{i}'}
    for line in history
    for i in range(rows)
  ]
  names = figures.draw(report, history, tmp_path)
  assert names == ['accuracy.png', 'curves.png'][: 1 + (rows > 0)]


def test_without_measurements_by_epoch_there_are_no_curves(
  unreferenced, history, tmp_path
):
  unmeasured = [
    line | {'accuracy_retain': None, 'accuracy_forget': None}
    for line in history
  ]
  assert figures.draw(unreferenced, unmeasured, tmp_path) == ['accuracy.png']
  assert figures.draw(unreferenced, [], tmp_path) == ['accuracy.png']
  other = [line for line in history if line['model'] == 'original']
  assert figures.draw(unreferenced, other, tmp_path) == ['accuracy.png']


def test_what_was_not_measured_is_left_out(report, history, tmp_path):
  for row in report['models'].values():
    row['accuracy'] |= {'forget': None, 'test': None}
  figures.accuracy(report, tmp_path / 'a.png')
  assert has_colour(tmp_path / 'a.png', figures._SPLITS['retain']['color'])
  assert not has_colour(tmp_path / 'a.png', figures._SPLITS['forget']['color'])
  figures.curves(report, history, tmp_path / 'b.png')


def test_names_are_not_formulas(report, history, tmp_path):
  report['models'][r'$\nosuch{$'] = report['models']['top_k']
  report['request']['dataset'] = 'npz:/a/very/long/folder/with $ in/data.npz'
  figures.draw(report, history, tmp_path)


def test_nothing_global_is_loaded_or_drawn_on():
  code = (
    'import sys; import jaxunlearn.report as r; '
    'assert "matplotlib" not in sys.modules; '
    'r.figures._canvas(1, 1, 2.0); '
    'assert "matplotlib.pyplot" not in sys.modules'
  )
  subprocess.run([sys.executable, '-c', code], check=True)
