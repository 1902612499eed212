"""What the paper's experiments share: networks, cells and rows.

A cell sets the network, its width, the ratio and the seeds, so that the command
line cannot.
"""

from ml_collections import ConfigDict

from configs import common

FULL, SMALL = 'full', 'small'
FRACTIONS = (0.05, 0.1, 0.15, 0.2)
# K of Table I, by network.
TOP_K = {'resnet18': 45, 'vgg19': 30, 'densenet121': 45, 'googlenet': 50}
# Width of each network (DenseNet: growth), at full size and on a CPU.
WIDTHS = {
  FULL: {'resnet18': 64, 'vgg19': 64, 'densenet121': 32, 'googlenet': 64},
  SMALL: {'resnet18': 16, 'vgg19': 16, 'densenet121': 8, 'googlenet': 16},
}


def base(size: str) -> ConfigDict:
  """The paper's settings, or the stand-in that a CPU can run.

  ε, the learning rates, the batch size and the epochs of the original are not
  printed. The small size trains as `configs/cifar10_small_topk.py` does.

  Args:
    size: 'full' or 'small'.
  """
  if size not in (FULL, SMALL):
    raise ValueError(
      f'a config of the paper takes :full or :small, not :{size}.'
    )
  config = common.get_config()
  config.data.source = 'tfds:cifar10'
  config.model.name = 'resnet18'
  config.train.epochs = 30
  config.train.schedule = 'cosine'
  config.unlearn.epochs = 50
  if size == SMALL:
    config.data.num_train = 5000
    config.train.epochs = 12
    config.train.learning_rate = 5e-4
    config.unlearn.epochs = 3
    config.unlearn.learning_rate = 5e-4
  return config


def with_weight(argument: str) -> tuple[str, dict]:
  """A size, and the changes of rows whose λ it names: 'small', or 'small,0'."""
  size, comma, weight = argument.partition(',')
  try:
    return size, {'js_weight': float(weight)} if comma else {}
  except ValueError:
    raise ValueError(
      f'λ, after the comma of :{argument}, is a number, such as in :small,0.'
    ) from None


def cell(size: str, network: str, fraction: float, seed: int) -> dict:
  """What a cell of the matrix changes.

  Args:
    size: 'full' or 'small'.
    network: its name.
    fraction: of the training set that is forgotten.
    seed: of the training, the request and the unlearning alike.
  """
  changes = {
    'model': {'name': network, 'width': WIDTHS[size][network]},
    'forget': {'fraction': fraction, 'seed': seed},
    'train': {'seed': seed},
    'unlearn': {'seed': seed},
  }
  if size == SMALL and network in ('densenet121', 'googlenet'):
    # A step of theirs costs five times as much.
    changes['data'] = {'num_train': 1000}
  return changes


def matrix(
  size: str, networks, fractions=FRACTIONS, own_k: tuple[str, ...] = ()
) -> ConfigDict:
  """{cell name: its changes}: three seeds of ResNet18 at 10 %, else one.

  Args:
    size: 'full' or 'small'.
    networks: their names.
    fractions: of the training set that are forgotten.
    own_k: rows that get the K that Table I has for the network.
  """
  cells = {}
  for network in networks:
    for fraction in fractions:
      thrice = network == 'resnet18' and fraction == 0.1
      for seed in range(3 if thrice else 1):
        name = f'{network}-{100 * fraction:g}-seed{seed}'
        cells[name] = cell(size, network, fraction, seed)
        if own_k:
          k = TOP_K[network]
          cells[name]['recipes'] = {row: {'k': k} for row in own_k}
  return common.rows(cells)


def top_k(k: int, over: str = 'leaves', **changes) -> dict:
  """Top-K, ε = 0.1 and λ = 0.1 unless changed."""
  return {
    'name': 'top_k',
    'k': k,
    'over': over,
    'factor': 0.1,
    'js_weight': 0.1,
    **changes,
  }


def random_k(**changes) -> dict:
  """Random-k, 5 %, ε = 0.1 and λ = 0.1 unless changed."""
  return {
    'name': 'random_k',
    'fraction': 0.05,
    'factor': 0.1,
    'js_weight': 0.1,
    **changes,
  }


def random_top_k(**changes) -> dict:
  """Random-TopK, 5 %, ε = 0.1 and λ = 0.1 unless changed."""
  return {**random_k(), 'name': 'random_top_k', **changes}


def last(recipe: str, k: int) -> dict:
  """EU-K or CF-K over leaves, at the paper's learning rate."""
  return {'name': recipe, 'k': k, 'over': 'leaves', 'learning_rate': 1e-4}


def strategies() -> dict[str, dict]:
  """The rows of Table II; its last, Retrain, every run has."""
  return {
    'top_k': top_k(45),
    'random_k': random_k(),
    'eu_5_leaves': last('eu_k', 5),
    'eu_10_leaves': last('eu_k', 10),
    'cf_5_leaves': last('cf_k', 5),
    'cf_10_leaves': last('cf_k', 10),
  }


def controls() -> dict[str, dict]:
  """What the paper does not have.

  Fine-tuning alone, Top-K without the JS term, and K = 45 read as scalars.
  """
  return {
    'finetune': {'name': 'finetune', 'js_weight': 0.1},
    'top_k_js0': top_k(45, js_weight=0.0),
    'top_k_scalars': top_k(45, 'scalars'),
  }
