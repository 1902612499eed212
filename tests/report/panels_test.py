import pytest

from jaxunlearn.report import matrix, panels


def test_lines_can_be_told_apart_without_colour():
  looks = [panels.style(i) for i in range(56)]
  assert len({(x['color'], x['marker']) for x in looks}) == 56
  assert len({x['marker'] for x in looks[:8]}) == 8


@pytest.mark.parametrize('count', range(1, 20))
def test_panels_fit_their_grid(count):
  lines, columns = panels.wrapped(count)
  assert lines * columns >= count > (lines - 1) * columns and columns <= 3


def test_long_names_are_shortened_and_no_formulas():
  assert panels.short('x' * 30) == 'x' * 13 + '…' + 'x' * 8
  assert panels.short('a$b') == r'a\$b'


def test_the_caption_says_which_n_is_whose(make_matrix):
  folder = make_matrix('MIXED', fractions=(0.05, 0.1, 0.2), seeds=(0, 1))
  for run in ('resnet18-5-1', 'resnet18-20-1'):
    (folder / 'cells' / run / 'report.json').unlink()
  cells = matrix.read(folder).cells
  caption = panels.caption(cells)
  assert 'n = 2 (resnet18 at 10 %), else 1 seed' in caption, caption
  assert '± one standard deviation' in caption
  caption = panels.caption([c for c in cells if c.fraction == 0.05])
  assert 'n = 1 seed' in caption and '±' not in caption


def test_of_rows_with_fewer_seeds_the_caption_says_both(make_matrix, matrices):
  folder = make_matrix('MIXED', seeds=(0, 1, 2))

  def fail(report):
    report['models']['top_k']['failed'] = 'it diverged.'

  matrices.change(folder, 'resnet18-10-0', fail)
  assert 'n = 2 to 3 seeds' in panels.caption(matrix.read(folder).cells)


def test_many_long_labels_stay_within_the_width(tmp_path, legible):
  figure, (axes,) = panels.canvas(1, 1, 2.0)
  for i in range(12):
    label = panels.short(f'random_top_k_with_a_long_name_{i}')
    axes.plot([0, 1], [0, i], label=label)
  title = 'npz:a/very/long/folder/data.npz, ' * 4
  panels.finish(figure, title, tmp_path / 'x.png')
  legible(figure)
