import pytest

from jaxunlearn.report import panels


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


def test_many_long_labels_stay_within_the_width(tmp_path, legible):
  figure, (axes,) = panels.canvas(1, 1, 2.0)
  for i in range(12):
    label = panels.short(f'random_top_k_with_a_long_name_{i}')
    axes.plot([0, 1], [0, i], label=label)
  title = 'npz:a/very/long/folder/data.npz, ' * 4
  panels.finish(figure, title, tmp_path / 'x.png')
  legible(figure)
