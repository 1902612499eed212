import io

import numpy as np
import pytest

from jaxunlearn.errors import InputError
from jaxunlearn.report import degree_figures, matrix

RUN = 'resnet18-10-0'


def save(path, arrays):
  with path.open('wb') as file:
    np.savez(file, **arrays)


def test_figure_4_shows_images_before_after_and_the_noise(
  make_matrix, figure_of, legible
):
  folder = make_matrix('DEGREE')
  figure, notes = figure_of(degree_figures.figure4, folder)
  assert len(figure.axes) == 18
  assert [a.get_title() for a in figure.axes[:6]] == [
    f'label {i}' for i in range(6)
  ]
  path = folder / 'cells' / RUN / 'probes' / 'spd_gan' / 'top_k.npz'
  with np.load(path) as file:
    image, perturbed, noise = (
      file[name] for name in ('image', 'perturbed', 'noise')
    )
  pixels = [
    np.asarray(axes.get_images()[0].get_array()) for axes in figure.axes
  ]
  np.testing.assert_allclose(pixels[1], image[1], atol=1e-6)
  np.testing.assert_allclose(pixels[7], perturbed[1], atol=1e-6)
  scale = 0.5 / np.abs(noise[:6]).max()
  np.testing.assert_allclose(pixels[13], 0.5 + scale * noise[1], atol=1e-6)
  assert figure.axes[12].get_ylabel() == f'noise × {scale:.3g}'
  (note,) = notes
  assert 'top_k' in note and RUN in note and f'{scale:.3g} times' in note
  assert 'mean PSNR on forget 31.4 dB' in figure.get_suptitle()
  legible(figure)


@pytest.mark.parametrize('count', [1, 3])
def test_figure_4_takes_grey_images_and_few_of_them(
  make_matrix, figure_of, legible, count
):
  folder = make_matrix('DEGREE')
  path = folder / 'cells' / RUN / 'probes' / 'spd_gan' / 'top_k.npz'
  image = np.full((count, 8, 8, 1), 0.25, np.float32)
  arrays = {'image': image, 'perturbed': image, 'noise': 0 * image}
  save(path, arrays | {'label': np.arange(count)})
  figure, _ = figure_of(degree_figures.figure4, folder)
  assert len(figure.axes) == 3 * count
  shown = np.asarray(figure.axes[0].get_images()[0].get_array())
  assert shown.shape == (8, 8) and (shown == 0.25).all()
  legible(figure)


def test_images_of_unlearned_models_come_before_references(
  make_matrix, figure_of
):
  folder = make_matrix('DEGREE')
  (folder / 'cells' / RUN / 'probes' / 'spd_gan' / 'top_k.npz').unlink()
  figure, _ = figure_of(degree_figures.figure4, folder)
  assert 'retrained' in figure.get_suptitle()
  (folder / 'cells' / RUN / 'probes' / 'spd_gan' / 'retrained.npz').unlink()
  assert degree_figures.figure4(matrix.read(folder), folder / 'x.png') is None


def test_damaged_images_are_named_and_nothing_is_unpickled(make_matrix):
  folder = make_matrix('DEGREE')
  path = folder / 'cells' / RUN / 'probes' / 'spd_gan' / 'top_k.npz'
  pickled = io.BytesIO()
  np.savez(pickled, image=np.array([{}], dtype=object))
  for content in (b'', b'PK', pickled.getvalue(), path.read_bytes()[:-40]):
    path.write_bytes(content)
    with pytest.raises(InputError, match=r'top_k\.npz is damaged'):
      degree_figures.figure4(matrix.read(folder), folder / 'x.png')


def test_figure_9_shows_degrees_beside_their_references(
  make_matrix, matrices, figure_of, legible
):
  folder = make_matrix('DEGREE', networks=2, fractions=(0.05, 0.1, 0.2))
  figure, notes = figure_of(degree_figures.figure9, folder)
  assert notes == []
  axes = figure.axes[0]
  names = [label.get_text() for label in axes.get_yticklabels()]
  assert names == [
    *('top_k', 'random_k', 'eu_10_leaves', 'cf_10_leaves'),
    *('original', 'retrained', 'retrained_again\n(against retrained)'),
    'finetune_all',
  ]
  (span,) = [p for p in axes.patches if p is not axes.patch]
  assert (span.get_y(), span.get_y() + span.get_height()) == (3.5, 7.5)
  points = {
    (round(y), i): x
    for i, bar in enumerate(axes.containers)
    for x, y in bar.lines[0].get_xydata()
  }
  assert len(axes.containers) == 3 * 8
  degrees = [x for (y, _), x in points.items() if y == names.index('original')]
  assert degrees == [0, 0, 0]
  assert axes.get_xlabel() == 'degree (points)'
  assert [t.get_text() for t in figure.legends[0].get_texts()] == [
    '5 %',
    '10 %',
    '20 %',
  ]
  assert 'on grey: references' in figure.get_suptitle()
  legible(figure)


def test_figure_9_has_bars_where_there_are_seeds(
  make_matrix, matrices, figure_of
):
  folder = make_matrix('DEGREE', seeds=(0, 1))
  for seed, degree in ((0, 0.4), (1, 0.6)):

    def put(report, degree=degree):
      report['models']['top_k']['probes']['spd_gan']['degree'] = degree

    matrices.change(folder, f'resnet18-10-{seed}', put)
  figure, _ = figure_of(degree_figures.figure9, folder)
  line, _, (bar,) = figure.axes[0].containers[0].lines
  assert np.isclose(line.get_xdata(), 50)
  ((low, _), (high, _)) = bar.get_segments()[0]
  assert np.isclose(high - low, 2 * 100 * np.std([0.4, 0.6], ddof=1))


def test_without_degrees_nothing_is_drawn(make_matrix, matrices, figure_of):
  folder = make_matrix('MIXED')

  def put(report):
    for entry in report['models'].values():
      entry['probes'] = {}

  matrices.change(folder, RUN, put)
  assert figure_of(degree_figures.figure9, folder)[1] is None
