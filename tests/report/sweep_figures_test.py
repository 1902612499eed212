import math

import numpy as np
import pytest

from jaxunlearn.report import matrix, sweep_figures
from jaxunlearn.report.cells import take


def lines(axes):
  """{label: {x: y}} of what the legend names."""
  return {
    line.get_label(): dict(zip(line.get_xdata(), line.get_ydata(), strict=True))
    for line in axes.lines
    if not line.get_label().startswith('_')
  }


def stars(axes):
  return [
    (line.get_xdata()[0], line.get_ydata()[0])
    for line in axes.lines
    if line.get_marker() == '*' and len(line.get_xdata())
  ]


def test_figure_5_draws_both_readings_of_k_by_network(
  make_matrix, matrices, figure_of, legible
):
  folder = make_matrix('SWEEP', networks=2, fractions=(0.1, 0.2))

  def put(report):
    report['models']['top_k_20_leaves']['accuracy'] |= {
      'retain': 0.99,
      'forget': 0.19,
    }
    report['models']['finetune']['accuracy'] |= {'retain': 0.9, 'forget': 0.8}

  matrices.change(folder, 'vgg19-20-0', put)
  figure, notes = figure_of(sweep_figures.figure5, folder)
  assert notes == []
  titles = [axes.get_title() for axes in figure.axes]
  assert titles == ['10 % forgotten', '20 % forgotten']
  found = lines(figure.axes[1])
  assert list(found) == [
    'resnet18, leaves',
    'resnet18, scalars',
    'vgg19, leaves',
    'vgg19, scalars',
    'largest of its line',
  ]
  for reading in ('leaves', 'scalars'):
    line = found[f'vgg19, {reading}']
    assert list(line) == [0, 1, 2, 5, 10, 20, 30, 45, 50]
    assert math.isclose(line[0], 10)
  assert math.isclose(found['vgg19, leaves'][20], 80)
  # The third line's star.
  assert np.allclose(stars(figure.axes[1])[2], (20, 80))
  assert len(stars(figure.axes[0])) == 4
  styles = {
    line.get_label(): line.get_linestyle() for line in figure.axes[0].lines
  }
  assert styles['vgg19, leaves'] == '-' and styles['vgg19, scalars'] == '--'
  legible(figure)


def test_figure_5_names_rows_of_the_same_k(make_matrix, figure_of):
  folder = make_matrix('SWEEP')
  for file in ('report.json', 'config.json'):
    path = folder / 'cells' / 'resnet18-10-0' / file
    path.write_text(path.read_text().replace('"k": 2,', '"k": 1,'))
  figure, notes = figure_of(sweep_figures.figure5, folder)
  assert list(lines(figure.axes[0])['resnet18, leaves'])[:3] == [0, 1, 5]
  (note,) = notes
  assert 'top_k_2_leaves and top_k_2_scalars' in note


def test_a_long_sweep_has_few_ticks(make_matrix, matrices, figure_of, legible):
  matrices.LONG = {
    f'top_k_{k}': {'name': 'top_k', 'k': k, 'over': 'leaves'} for k in range(51)
  }
  figure, _ = figure_of(
    sweep_figures.figure5, make_matrix('LONG', seeds=(0, 1))
  )
  (axes,) = figure.axes
  assert list(axes.get_xticks()) == [0, 1, 2, 5, 10, 20, 30, 40, 50]
  assert len(lines(axes)['resnet18, leaves']) == 51
  legible(figure)


def test_fine_tuning_alone_is_no_sweep(make_matrix, matrices, figure_of):
  matrices.ALONE = {'finetune': {'name': 'finetune'}}
  assert figure_of(sweep_figures.figure5, make_matrix('ALONE'))[1] is None


def test_figure_7_leaves_out_what_did_not_converge(
  make_matrix, matrices, figure_of, legible
):
  folder = make_matrix('TABLE2', networks=2, fractions=(0.05, 0.1, 0.2))

  def put(report):
    report['models']['top_k']['acceleration'] = 15.5
    report['models']['eu_5_leaves']['acceleration'] = None

  matrices.change(folder, 'resnet18-5-0', put)
  figure, notes = figure_of(sweep_figures.figure7, folder)
  found = lines(figure.axes[0])
  rows = [*matrices.TABLE2, 'retraining']
  assert list(found) == rows
  assert found['top_k'][5.0] == 15.5 and list(found['top_k']) == [5, 10, 20]
  assert list(found['eu_5_leaves']) == [10, 20]
  note, rates = notes
  assert 'eu_5_leaves (resnet18 at 5 %)' in note and 'top_k' not in note
  assert 'forgets nothing is fast' in rates and 'cf_5_leaves ' in rates
  assert '1 of 36 models left out' in figure.get_suptitle()
  assert [axes.get_title() for axes in figure.axes] == ['resnet18', 'vgg19']
  legible(figure)


def test_figure_7_says_how_many_seeds_are_shown(
  make_matrix, matrices, figure_of
):
  folder = make_matrix('MIXED', seeds=(0, 1, 2))
  for seed in (0, 1):
    matrices.change(
      folder,
      f'resnet18-10-{seed}',
      lambda r: r['models']['top_k'].update(acceleration=None),
    )
  figure, (note, _) = figure_of(sweep_figures.figure7, folder)
  assert 'n = 1 to 3 seeds' in figure.get_suptitle()
  assert 'top_k (resnet18 at 10 %, 2 of 3 seeds)' in note


@pytest.mark.parametrize(('fastest', 'scale'), [(4.0, 'linear'), (40.0, 'log')])
def test_the_axis_is_logarithmic_where_it_must(
  make_matrix, matrices, figure_of, legible, fastest, scale
):
  folder = make_matrix('MIXED', fractions=(0.05, 0.2))

  def put(report):
    for row in ('random_k', 'random_top_k'):
      report['models'][row]['acceleration'] = 2.0
    report['models']['top_k']['acceleration'] = fastest

  for run in ('resnet18-5-0', 'resnet18-20-0'):
    matrices.change(folder, run, put)
  figure, _ = figure_of(sweep_figures.figure7, folder)
  assert figure.axes[0].get_yscale() == scale
  assert ('log' in figure.get_supylabel()) == (scale == 'log')
  legible(figure)


def test_at_one_ratio_strategies_stand_side_by_side(make_matrix, figure_of):
  folder = make_matrix('MIXED', seeds=(0, 1))
  figure, _ = figure_of(sweep_figures.figure7, folder)
  found = lines(figure.axes[0])
  places = [
    x for row in ('top_k', 'random_k', 'random_top_k') for x in found[row]
  ]
  assert places == [9, 10, 11]
  # With n = 2 a bar each, there being no band of a single point.
  bars = figure.axes[0].collections
  assert [len(bar.get_segments()) for bar in bars] == [1, 1, 1]
  assert [bar.get_segments()[0][0][0] for bar in bars] == places


def test_where_some_ratios_have_one_seed_the_others_have_bars(
  make_matrix, figure_of
):
  folder = make_matrix('MIXED', fractions=(0.05, 0.1, 0.2), seeds=(0, 1))
  for run in ('resnet18-5-1', 'resnet18-20-1'):
    (folder / 'cells' / run / 'report.json').unlink()
  figure, _ = figure_of(sweep_figures.figure7, folder)
  # A band would narrow to nothing where nothing is known.
  bars = figure.axes[0].collections
  places = [[x for (x, _), _ in bar.get_segments()] for bar in bars]
  assert places == [[10], [10], [10]]


def test_references_have_no_acceleration(make_matrix, figure_of):
  folder = make_matrix('DEGREE', fractions=(0.05, 0.1))
  figure, _ = figure_of(sweep_figures.figure7, folder)
  names = set(lines(figure.axes[0]))
  assert not names & {'retrained', 'retrained_again', 'finetune_all'}


def test_where_nothing_converged_nothing_is_drawn(
  make_matrix, matrices, figure_of
):
  folder = make_matrix('MIXED')

  def put(report):
    for entry in report['models'].values():
      entry['acceleration'] = None

  matrices.change(folder, 'resnet18-10-0', put)
  assert figure_of(sweep_figures.figure7, folder)[1] is None
  assert take(matrix.read(folder).cells, row='top_k')[0].done


def test_a_network_of_which_nothing_converged_says_so(
  make_matrix, matrices, figure_of, legible
):
  folder = make_matrix('MIXED', networks=2)

  def put(report):
    for entry in report['models'].values():
      entry['acceleration'] = None

  matrices.change(folder, 'vgg19-10-0', put)
  figure, _ = figure_of(sweep_figures.figure7, folder)
  there, gone = figure.axes
  assert not there.texts and 'did not converge' in gone.texts[0].get_text()
  legible(figure)
