import copy
import importlib.util
from pathlib import Path

import pytest

CONFIG = {
  'data': {'source': 'digits', 'dir': '', 'num_train': None, 'seed': 0},
  'model': {'name': 'cnn', 'width': 16},
  'forget': {'kind': 'random', 'fraction': 0.1, 'seed': 0},
  'original': {'checkpoint': '', 'keep': True},
  'reference': 'retrain',
  'unlearn': {'epochs': 5, 'learning_rate': 1e-3, 'batch_size': 64},
}


def model(recipe, forget, retain, test, **changes):
  values = {
    'recipe': recipe,
    'accuracy': {
      'forget': forget,
      'retain': retain,
      'test': test,
      'forget_true_label': None,
    },
    'forgetting_rate': (0.9998 - forget) / 0.9998,
    'memory_retention_rate': retain / 0.9998,
    'similarity': 0.8837,
    'selected': {
      'scalars': 558698,
      'leaves': 62,
      'total_scalars': 11173962,
      'total_leaves': 62,
    },
    'seconds': {
      'select': 0.4,
      'perturb': 0.02,
      'fine_tune': 6.5,
      'total': 6.92,
      'compile': 3.1,
      'to_convergence': 2.82,
    },
    'epochs': 5,
    'converged_epoch': 2,
    'acceleration': 4.85,
    'gap_to_retrained': {
      'forget': abs(forget - 0.848),
      'retain': abs(retain - 1.0),
      'test': abs(test - 0.8466),
      'mean': (abs(forget - 0.848) + abs(retain - 1) + abs(test - 0.8466)) / 3,
    },
    'probes': {},
    'checkpoint_sha256': 'ab' * 32,
    'settings': {
      'factor': 0.1,
      'js_weight': 0.1,
      'trainable': 'everything',
      'batch_stats': 'retain',
    },
    'dead': None,
    'stopped': 'epochs',
  }
  return values | changes


NONE = {'forget': None, 'retain': None, 'test': None, 'mean': None}
SETTINGS = {'batch_stats': 'retain', 'trainable': 'everything'}


@pytest.fixture
def report():
  """A finished run: original, retrained and four rows."""
  return _report()


@pytest.fixture(scope='session')
def report_once():
  """The same for a test of many examples, none of which changes it."""
  return _report()


def _report():
  models = {
    'original': model(
      'original',
      0.9998,
      0.9998,
      0.8504,
      selected=None,
      epochs=12,
      converged_epoch=None,
      acceleration=None,
      settings={},
      stopped=None,
    ),
    'retrained': model(
      'retrain',
      0.848,
      1.0,
      0.8466,
      similarity=1.0,
      selected=None,
      epochs=12,
      converged_epoch=9,
      acceleration=1.0,
      settings={},
      stopped=None,
    ),
    'finetune': model(
      'finetune', 0.971, 0.9981, 0.8488, selected=None, settings=SETTINGS
    ),
    'top_k': model('top_k', 0.9672, 0.9976, 0.847),
    'top_k_lambda_0': model(
      'top_k',
      0.952,
      0.9962,
      0.8421,
      settings=SETTINGS | {'factor': 0.1, 'js_weight': 0.0},
    ),
    'random_k_eps-2': model(
      'random_k',
      0.8014,
      0.9719,
      0.8102,
      converged_epoch=None,
      acceleration=None,
      settings=SETTINGS | {'factor': -2.0, 'js_weight': 0.0},
    ),
  }
  return copy.deepcopy(
    {
      'schema': 1,
      'request': {
        'dataset': 'tfds:cifar10',
        'dataset_sha256': 'cd' * 32,
        'num_train': 50000,
        'num_forget': 5000,
        'forget_fraction': 0.1,
        'forget_sha256': 'ef' * 32,
        'seed': 0,
      },
      'environment': {
        'jax': '0.10.2',
        'jaxlib': '0.10.2',
        'flax': '0.12.8',
        'optax': '0.2.8',
        'device': 'cpu',
        'device_count': 1,
        'process_count': 1,
      },
      'original': {'from': 'trained', 'kept': True, 'path': 'original'},
      'reference': 'retrain',
      'config': CONFIG,
      'models': models,
    }
  )


@pytest.fixture
def unreferenced(report):
  """The same run without a retrained model, from the user's checkpoint."""
  del report['models']['retrained']
  report['reference'] = report['config']['reference'] = 'none'
  report['original']['from'] = '/home/me/checkpoint'
  for values in report['models'].values():
    values |= {'similarity': None, 'acceleration': None}
    values['gap_to_retrained'] = dict(NONE)
  return report


@pytest.fixture
def history(report):
  lines = []
  for name, values in report['models'].items():
    for epoch in range(1, values['epochs'] + 1):
      left = 0.5**epoch
      accuracy = values['accuracy']
      lines.append(
        {
          'model': name,
          'epoch': epoch,
          'step': 703 * epoch,
          'loss': 0.1 + left,
          'accuracy_retain': accuracy['retain'] * (1 - left),
          'accuracy_forget': accuracy['forget'] * (1 - 0.6 * left),
          'examples_per_second': 9000.0,
        }
      )
      lines.append(
        {
          'model': name,
          'epoch': epoch,
          'step': 703 * epoch + 9,
          'loss': 0.1,
          'accuracy_retain': None,
          'accuracy_forget': None,
          'examples_per_second': None,
        }
      )
  return lines


@pytest.fixture(scope='session')
def matrices():
  """The module beside this one that makes the workdirs of matrices."""
  path = Path(__file__).with_name('matrices.py')
  spec = importlib.util.spec_from_file_location('matrices', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.fixture
def make_matrix(matrices, report, tmp_path):
  """(rows' name, paper, networks, fractions, seeds) -> a matrix's workdir."""

  def make(rows, paper=(), networks=1, fractions=(0.1,), seeds=(0,)):
    return matrices.write(
      tmp_path / 'matrix',
      report,
      getattr(matrices, rows),
      paper,
      matrices.NETWORKS[:networks],
      fractions,
      seeds,
    )

  return make


@pytest.fixture
def figure_of(monkeypatch, tmp_path):
  """(function, workdir) -> the figure and its notes; None, None for none."""
  from jaxunlearn.report import matrix, panels

  saved, save = [], panels.save

  def keep(figure, path):
    saved.append(figure)
    save(figure, path)

  monkeypatch.setattr(panels, 'save', keep)

  def draw(function, folder):
    saved.clear()
    path = tmp_path / 'figure.png'
    notes = function(matrix.read(folder), path)
    assert path.exists() == bool(saved) == (notes is not None)
    (figure,) = saved or [None]
    return figure, notes

  return draw


@pytest.fixture
def legible():
  """Asserts that texts lie within the figure, and no title on another."""

  def check(figure):
    import matplotlib.text

    renderer = figure.canvas.get_renderer()
    width, height = figure.bbox.size
    for text in figure.findobj(matplotlib.text.Text):
      if text.get_visible() and text.get_text() and text.axes is not None:
        box = text.get_window_extent(renderer)
        if not box.width:
          continue
        assert box.x0 >= -1 and box.x1 <= width + 1, text.get_text()
        assert box.y0 >= -1 and box.y1 <= height + 1, text.get_text()
    parts = [figure._suptitle, *(axes.title for axes in figure.axes)]
    parts += figure.legends
    boxes = [part.get_window_extent(renderer) for part in parts]
    boxes = [box for box in boxes if box.width and box.height]
    for i, box in enumerate(boxes):
      assert box.x0 >= -1 and box.x1 <= width + 1, parts[i]
      assert not any(box.overlaps(other) for other in boxes[:i]), parts[i]

  return check
