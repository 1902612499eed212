"""What the columns of a report mean, and how a probe's are written."""

from collections.abc import Callable, Iterator, Mapping

from jaxunlearn.report.grids import escape

__all__ = ['PROBES', 'percent', 'sentences']


def percent(value: float) -> str:
  """A rate, in per cent."""
  return f'{100 * value:.2f}'


_COLUMNS = (
  'acc forget, acc retain, acc test: accuracy on the split, per cent.',
  "FR, forgetting rate: (A − A′) / A, A the original's and A′ the model's "
  'accuracy on forget (Eq. 17), per cent; negative where accuracy rose.',
  "MRR, memory retention rate: A″ / A, A″ the model's accuracy on retain and "
  "A the original's on *forget* (Eq. 18), per cent; it may exceed 100.",
  'similarity: 1 − JS(model, retrained) on forget, JS in bits (Eq. 9, with its '
  'errata), per cent.',
  'gap to retrained: mean over forget, retain and test of the absolute '
  'difference in accuracy, points.',
  'scalars, leaves: how many entries of the parameters were selected, and how '
  'many parameter arrays with at least one (Eq. 6).',
  'epochs: of fine-tuning; of the original and the retrained, of training.',
  'seconds: select, perturb and fine-tune, or train, without compiling.',
  'compile: seconds of compiling.',
  'acceleration: time to retrain / time to unlearn, each to convergence, ×.',
)

PROBES: Mapping[str, Mapping[str, tuple[Callable, str]]] = {
  'spd_gan': {
    'degree': (
      percent,
      'accuracy_original − accuracy_judged, points (Eq. 14).',
    ),
    'against': (
      str,
      'the model that the row is held against; the second retraining is held '
      'against the first.',
    ),
    'accuracy_before': (
      percent,
      'of the model held against, on forget, per cent.',
    ),
    'accuracy_original': (
      percent,
      'of the same under the noise, which should leave it as it was, per cent.',
    ),
    'accuracy_judged': (
      percent,
      "of the row's own model under the noise, per cent.",
    ),
    'noise_l2': (
      '{:.2f}'.format,
      'Euclidean norm of the noise of an image, pixels in [0, 1]; the mean.',
    ),
    'noise_linf': (
      '{:.3f}'.format,
      'largest change of any pixel of any image, pixels in [0, 1].',
    ),
    'psnr': (
      '{:.2f}'.format,
      'peak signal-to-noise ratio, dB; the mean over images that changed.',
    ),
    'ssim': (
      '{:.3f}'.format,
      'structural similarity, 1 for equal images; the mean.',
    ),
    'failed': (str, 'why there is no answer.'),
  }
}
"""{probe: {column: (how it is written, its definition)}}."""


def sentences(report: Mapping) -> Iterator[str]:
  """The definition of every column that a report has, as Markdown.

  Args:
    report: schema 1, validated.
  """
  yield from _COLUMNS
  models = report['models'].values()
  for probe, columns in PROBES.items():
    found = [row['probes'].get(probe, ()) for row in models]
    for name, (_, what) in columns.items():
      if any(name in values for values in found):
        yield f'{escape(name)}: {escape(what)}'
