"""Workdirs of a matrix as a finished one would be, made without training."""

import copy
import json
import random

import numpy as np

CURVE = (0.35, 0.2, 0.08, 0.03, 0.01, 0.004)
NETWORKS = ('resnet18', 'vgg19', 'densenet121', 'googlenet')
TABLE2 = {
  'top_k': {'name': 'top_k', 'k': 45, 'over': 'leaves'},
  'random_k': {'name': 'random_k', 'fraction': 0.05},
  'eu_5_leaves': {'name': 'eu_k', 'k': 5, 'over': 'leaves'},
  'eu_10_leaves': {'name': 'eu_k', 'k': 10, 'over': 'leaves'},
  'cf_5_leaves': {'name': 'cf_k', 'k': 5, 'over': 'leaves'},
  'cf_10_leaves': {'name': 'cf_k', 'k': 10, 'over': 'leaves'},
}
MIXED = {
  'top_k': TABLE2['top_k'],
  'random_k': TABLE2['random_k'],
  'random_top_k': {'name': 'random_top_k', 'fraction': 0.05},
}
SWEEP = {'finetune': {'name': 'finetune'}} | {
  f'top_k_{k}_{over}': {'name': 'top_k', 'k': k, 'over': over}
  for over in ('leaves', 'scalars')
  for k in (1, 2, 5, 10, 20, 30, 45, 50)
}
DEGREE = {
  'top_k': TABLE2['top_k'],
  'random_k': TABLE2['random_k'],
  'eu_10_leaves': TABLE2['eu_10_leaves'],
  'cf_10_leaves': TABLE2['cf_10_leaves'],
  'retrained_again': {'name': 'retrain'},
  'finetune_all': {'name': 'finetune_all'},
}


def write(folder, report, recipes, paper, networks, fractions, seeds=(0,)):
  """Makes a matrix workdir in which every run is finished.

  Args:
    folder: the workdir.
    report: the fixture; entries and environment are taken from it.
    recipes: rows, as in a config.
    paper: names of tables and figures.
    networks: names.
    fractions: ratios.
    seeds: of each pair of them.
  """
  config = copy.deepcopy(report['config']) | {
    'train': {'seed': 0, 'epochs': 12},
    'recipes': recipes,
    'paper': list(paper),
    'matrix': {
      f'{network}-{round(100 * fraction)}-{seed}': {
        'model': {'name': network},
        'forget': {'fraction': fraction, 'seed': seed},
        'train': {'seed': seed},
        'unlearn': {'seed': seed},
      }
      for network in networks
      for fraction in fractions
      for seed in seeds
    },
  }
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'config.json').write_text(json.dumps(config))
  for name, changes in config['matrix'].items():
    own = {k: v for k, v in config.items() if k not in ('matrix', 'paper')}
    for section, values in changes.items():
      own[section] = own[section] | values
    _write_run(folder / 'cells' / name, report, own)
  return folder


def change(folder, run, mutate):
  """Applies `mutate` to the report of a run on disk."""
  path = folder / 'cells' / run / 'report.json'
  report = json.loads(path.read_text())
  mutate(report)
  path.write_text(json.dumps(report))


def unconverge(entry):
  entry['converged_epoch'] = entry['seconds']['to_convergence'] = None


def _write_run(folder, template, config):
  rng = random.Random(json.dumps(config['model'] | config['forget']))
  report = copy.deepcopy(template)
  fraction = config['forget']['fraction']
  report['config'] = config
  report['request'] |= {
    'num_train': 5000 if config['model']['name'] == 'resnet18' else 1000,
    'forget_fraction': fraction,
    'seed': config['forget']['seed'],
  }
  models = {name: report['models'][name] for name in ('original', 'retrained')}
  models['original']['accuracy'] |= {'test': 0.82 + rng.uniform(0, 0.04)}
  models['retrained']['converged_epoch'] = 4
  lines = []
  for row, settings in config['recipes'].items():
    models[row] = _entry(template, settings, fraction, rng)
  for i, (row, entry) in enumerate(models.items()):
    lines += _course(row, entry, i, rng)
  for i, entry in enumerate(models.values()):
    entry['seconds'] |= {'to_convergence': 0.42 + 4 * (1 + 0.2 * i)}
  _add_degrees(models, fraction, rng)
  report['models'] = models
  folder.mkdir(parents=True)
  for file, text in (
    ('config.json', json.dumps(config)),
    ('report.json', json.dumps(report)),
    ('metrics.jsonl', ''.join(json.dumps(x) + '\n' for x in lines)),
  ):
    (folder / file).write_text(text)
  _write_images(folder, ['top_k', 'retrained'])


def _entry(template, settings, fraction, rng):
  entry = copy.deepcopy(template['models']['top_k'])
  k = settings.get('k', 0)
  scalars = {'scalars': k}.get(
    settings.get('over'), 558_698 + rng.randrange(900)
  )
  forget = 0.85 - 0.3 * fraction - k / 1000 + rng.uniform(0, 0.03)
  entry |= {
    'recipe': settings['name'],
    'settings': {k: v for k, v in settings.items() if k != 'name'},
    'selected': entry['selected'] | {'scalars': scalars, 'leaves': k or 62},
    'acceleration': 15 * (1 - 3 * fraction) / (1 + 4 * rng.random()),
    'converged_epoch': 4,
  }
  entry['accuracy'] |= {'forget': forget, 'retain': 0.97 + rng.uniform(0, 0.03)}
  if settings['name'].startswith('finetune'):
    entry['selected'] = None
  return entry


def _course(row, entry, i, rng):
  """Six epochs; the retrained and each row settle at their accuracies."""
  return [
    {
      'model': row,
      'epoch': epoch,
      'step': 40 * epoch,
      'loss': 0.1 + left,
      'seconds': (1 + 0.2 * i) * epoch,
      'accuracy_retain': entry['accuracy']['retain'] * (1 - left * (1 + i / 9)),
      'accuracy_forget': entry['accuracy']['forget'] * (1 - left) * 0.98
      + 0.02 * rng.random(),
    }
    for epoch, left in enumerate(CURVE, 1)
  ]


def _add_degrees(models, fraction, rng):
  fixed = {'original': 0.0, 'retrained': 0.42, 'finetune_all': 0.31}
  for row, entry in models.items():
    degree = fixed.get(row, 0.7 * (1 - fraction) + rng.uniform(-0.3, 0.2))
    entry['probes'] = {
      'spd_gan': {
        'degree': degree,
        'against': 'retrained' if row == 'retrained_again' else 'original',
        'accuracy_before': 0.9998,
        'accuracy_original': 0.98,
        'accuracy_judged': 0.98 - degree,
        'noise_l2': 1.5,
        'noise_linf': 0.2,
        'psnr': None if row == 'original' else 31.4,
        'ssim': 0.93,
      }
    }


def _write_images(folder, rows):
  rng = np.random.default_rng(0)
  grid = np.linspace(0, 1, 32, dtype=np.float32)
  image = np.stack(
    [
      np.stack(
        [
          np.outer(grid, grid) ** (i + 1),
          np.outer(grid, 1 - grid),
          0.5 + 0.5 * np.outer(np.sin(6 * i + 9 * grid), grid),
        ],
        -1,
      )
      for i in range(8)
    ]
  ).astype(np.float32)
  noise = rng.uniform(-0.08, 0.08, image.shape).astype(np.float32)
  (folder / 'probes' / 'spd_gan').mkdir(parents=True)
  for row in rows:
    np.savez(
      folder / 'probes' / 'spd_gan' / f'{row}.npz',
      image=image,
      perturbed=np.clip(image + noise, 0, 1),
      noise=noise,
      label=np.arange(8),
    )
