"""Figures 4 and 9: the unlearning degree by SPD-GAN, with its references.

  python -m jaxunlearn.launch --config=configs/paper/degree.py:small \
      --config.data.dir=DIR

The references: the retrained model and the original itself, which every run
has; one more retraining, held against the first; and the original fine-tuned on
all data, which forgot nothing. `:full` is the paper's size and wants an
accelerator; `:small,controls` and `:full,controls` judge the controls of
`table2.py` too. The generator's steps, width and learning rate are not printed.
With the --workdir of `table2.py` nothing that both need is trained again.
In that workdir `:small` takes 18 minutes a cell more, 1.8 hours, on one core of
two CPU cores, with the other one busy.
"""

from ml_collections import ConfigDict

from configs import common
from configs.paper import settings


def get_config(argument: str = settings.FULL) -> ConfigDict:
  """ResNet18 at four ratios, three seeds at 10 %; SIZE or SIZE,controls."""
  size, comma, controls = argument.partition(',')
  if comma and controls != 'controls':
    raise ValueError(f'after the comma comes controls, not {controls}.')
  config = settings.base(size)
  config.recipes = common.rows(
    {
      **settings.strategies(),
      **(settings.controls() if controls else {}),
      'retrained_again': {'name': 'retrain'},
      'finetune_all': {'name': 'finetune_all'},
    }
  )
  config.probes = common.rows(
    {
      'spd_gan': {
        'num_steps': 2000 if size == settings.FULL else 100,
        'width': 32 if size == settings.FULL else 16,
        'eta': 0.03,
        'max_noise': 1.0,
        'seed': 0,
      }
    }
  )
  config.matrix = settings.matrix(size, ['resnet18'])
  config.paper = ('degrees', 'figure4', 'figure9')
  return config.lock()
