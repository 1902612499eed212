"""5,000 CIFAR-10 images on a ResNet18 of width 16: a stand-in for a CPU.

  python -m jaxunlearn.launch --config=configs/cifar10_small_topk.py \
      --config.data.dir=DIR

DIR holds CIFAR-10 as TFDS prepares it (its folder `cifar10`).

About a quarter of an hour on two CPU cores. Seeds 0, one run, jax 0.10.2 on a
CPU, accuracy in per cent, measured before the gradients of convolutions were
summed in slices, which rounds otherwise:

                        forget  retain    test
  original              100.00  100.00   43.71
  retrained              40.80  100.00   44.11
  finetune               91.00   96.47   39.20
  top_k_45_leaves        89.00   93.40   37.80
  top_k_45_leaves_js0    74.40   92.82   36.94
  top_k_45_scalars       90.80   97.02   38.04
  random_k               86.60   93.09   37.75
  random_k_eps-2         46.40   64.09   39.29
  random_top_k           93.80   98.27   38.92
  random_top_k_eps-1     46.20   60.09   40.18

With a small ε and λ = 0.1 at most 4.4 points more were forgotten than by
fine-tuning alone; with λ = 0 (js0) 16.6. With ε = -2 or -1 on 5 % of the
scalars the forgotten examples fell towards the retrained model's accuracy, and
after 3 epochs much of what was to be retained was lost too.
"""

from ml_collections import ConfigDict

from configs import common


def get_config() -> ConfigDict:
  """Fine-tuning alone, and three selections with small and large ε."""
  config = common.get_config()
  config.data.source = 'tfds:cifar10'
  config.data.num_train = 5000
  config.model = {'name': 'resnet18', 'width': 16, 'dtype': 'float32'}
  config.train.epochs = 12
  # At a constant 1e-3 the last epochs jump, 86 to 96 % on the training set.
  config.train.learning_rate = 5e-4
  config.train.schedule = 'cosine'
  config.unlearn.epochs = 3
  config.unlearn.learning_rate = 5e-4
  config.recipes = common.rows(
    {
      'finetune': {'name': 'finetune', 'js_weight': 0.1},
      'top_k_45_leaves': _top_k('leaves', js_weight=0.1),
      'top_k_45_leaves_js0': _top_k('leaves', js_weight=0.0),
      'top_k_45_scalars': _top_k('scalars', js_weight=0.1),
      'random_k': _random('random_k', factor=0.1),
      'random_k_eps-2': _random('random_k', factor=-2.0),
      'random_top_k': _random('random_top_k', factor=0.1),
      'random_top_k_eps-1': _random('random_top_k', factor=-1.0),
    }
  )
  return config.lock()


def _top_k(over: str, js_weight: float) -> dict:
  return {
    'name': 'top_k',
    'k': 45,
    'over': over,
    'factor': 0.1,
    'js_weight': js_weight,
  }


def _random(name: str, factor: float) -> dict:
  return {
    'name': name,
    'fraction': 0.05,
    'factor': factor,
    'js_weight': 0.1,
  }
