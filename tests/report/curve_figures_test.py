import json

import numpy as np

from jaxunlearn.report import curve_figures, matrix, panels
from jaxunlearn.report.cells import take

CONFIG = 'config.json'


def lines(axes):
  """{label: (x, y)} of what the legend names."""
  return {
    line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
    for line in axes.lines
    if not line.get_label().startswith('_')
  }


def shown(figure):
  return [axes for axes in figure.axes if axes.axison]


def test_figure_1_is_random_k_and_the_originals_test_accuracy(
  make_matrix, figure_of, legible
):
  folder = make_matrix('TABLE2', seeds=(0, 1, 2))
  figure, notes = figure_of(curve_figures.figure1, folder)
  assert notes == []
  (axes,) = figure.axes
  found = lines(axes)
  names = ['random_k, retain', 'random_k, forget', 'original, test']
  assert list(found) == names
  cells = matrix.read(folder).cells
  ours = take(cells, row='random_k')
  levels = [100 * c.history[2]['accuracy_forget'] for c in ours]
  x, y = found['random_k, forget']
  assert x == [1, 2, 3, 4, 5, 6] and np.isclose(y[2], np.mean(levels))
  test = [
    100 * c.values['accuracy']['test'] for c in take(cells, row='original')
  ]
  assert np.allclose(found['original, test'][1], np.mean(test))
  assert axes.get_xlabel() == 'epoch' and '%' in figure.get_supylabel()
  assert figure.get_figwidth() == 3.5
  assert 'n = 3 seeds' in figure.get_suptitle()
  assert 'tfds:cifar10' in figure.get_suptitle()
  legible(figure)


def test_bands_are_a_deviation_to_either_side(make_matrix, figure_of):
  folder = make_matrix('TABLE2', seeds=(0, 1, 2))
  figure, _ = figure_of(curve_figures.figure1, folder)
  ours = take(matrix.read(folder).cells, row='random_k')
  levels = [100 * c.history[2]['accuracy_forget'] for c in ours]
  (_, band) = figure.axes[0].collections
  at = band.get_paths()[0].vertices
  high, low = max(at[at[:, 0] == 3, 1]), min(at[at[:, 0] == 3, 1])
  assert np.isclose(high - low, 2 * np.std(levels, ddof=1))
  assert np.isclose((high + low) / 2, np.mean(levels))


def test_one_seed_has_no_band(make_matrix, figure_of):
  figure, _ = figure_of(curve_figures.figure6, make_matrix('TABLE2'))
  assert not figure.axes[0].collections
  assert 'n = 1 seed' in figure.get_suptitle()
  assert 'seeds' not in figure.get_suptitle()


def test_figure_6_has_a_panel_a_network(make_matrix, figure_of, legible):
  folder = make_matrix('TABLE2', networks=4, fractions=(0.2,))
  figure, _ = figure_of(curve_figures.figure6, folder)
  titles = [axes.get_title() for axes in shown(figure)]
  assert titles[:2] == ['resnet18, 20 % forgotten', 'vgg19, 20 % forgotten']
  assert len(titles) == 4 and figure.get_figwidth() == 7
  assert list(lines(figure.axes[3])) == [
    f'{row}, {split}'
    for row in ('top_k', 'random_k')
    for split in ('retain', 'forget')
  ]
  looks = {
    (line.get_color(), line.get_marker(), line.get_linestyle())
    for line in figure.axes[0].lines
  }
  assert len(looks) == 4
  title = ' '.join(figure.get_suptitle().split())
  assert '5,000 (resnet18), else 1,000 training examples' in title, title
  legible(figure)


def test_figure_8_is_a_grid_of_networks_and_ratios(
  make_matrix, figure_of, legible
):
  folder = make_matrix('MIXED', networks=4, fractions=(0.05, 0.1, 0.15, 0.2))
  (folder / 'cells' / 'googlenet-20-0' / 'report.json').unlink()
  figure, _ = figure_of(curve_figures.figure8, folder)
  assert len(figure.axes) == 16
  last, before = figure.axes[-1], figure.axes[-2]
  assert before.get_title() == 'googlenet, 15 %'
  assert list(lines(before)) == ['top_k', 'random_k', 'random_top_k']
  # A run that is missing leaves its panel empty, in its place.
  assert last.get_title() == 'googlenet, 20 %' and not lines(last)['top_k'][0]
  assert [x.get_text() for x in last.texts] == ['not run']
  assert not before.texts
  legible(figure)


def test_ratios_that_a_network_has_not_take_no_room(make_matrix, figure_of):
  folder = make_matrix('MIXED', networks=2, fractions=(0.05, 0.1, 0.2))
  config = json.loads((folder / 'config.json').read_text())
  for percent in (5, 20):
    del config['matrix'][f'vgg19-{percent}-0']
  (folder / 'config.json').write_text(json.dumps(config))
  figure, _ = figure_of(curve_figures.figure8, folder)
  titles = [axes.get_title() for axes in shown(figure)]
  assert titles == [
    *(f'resnet18, {percent} % forgotten' for percent in (5, 10, 20)),
    'vgg19, 10 % forgotten',
  ]


def test_rows_are_found_by_recipe_and_not_by_name(make_matrix, figure_of):
  folder = make_matrix('MIXED')
  run = folder / 'cells' / 'resnet18-10-0'
  for path in (run / 'report.json', run / 'metrics.jsonl', folder / CONFIG):
    text = path.read_text().replace('"top_k": {', '"first": {')
    path.write_text(text.replace('"model": "top_k"', '"model": "first"'))
  figure, _ = figure_of(curve_figures.figure8, folder)
  assert 'first' in lines(figure.axes[0])


def test_only_epochs_that_every_seed_reached_are_drawn(make_matrix):
  cells = take(
    matrix.read(make_matrix('MIXED', seeds=(0, 1))).cells, row='top_k'
  )
  cells[0] = cells[0]._replace(history=cells[0].history[:3])
  found = panels.by_epoch(cells, 'retain')
  assert list(found) == [1, 2, 3] and all(len(x) == 2 for x in found.values())


def test_nothing_is_drawn_without_epochs(make_matrix, figure_of):
  folder = make_matrix('DEGREE')
  assert figure_of(curve_figures.figure8, folder)[1] == []
  (folder / 'cells' / 'resnet18-10-0' / 'metrics.jsonl').unlink()
  for draw in (
    curve_figures.figure1,
    curve_figures.figure6,
    curve_figures.figure8,
  ):
    (folder / 'figure.png').unlink(missing_ok=True)
    assert draw(matrix.read(folder), folder / 'figure.png') is None
    assert not (folder / 'figure.png').exists()
