"""The whole job on made-up images: configs/cifar10_small_topk.py, or a part."""

from ml_collections import ConfigDict

from configs import cifar10_small_topk

# {size: (examples, of test, width, epochs of training, of fine-tuning, rows)}
SIZES = {
  'full': (5000, 10000, 16, 12, 3, None),
  'short': (1280, 1280, 16, 2, 1, ('finetune', 'top_k_45_leaves')),
  'quick': (64, 64, 4, 1, 1, ('top_k_45_leaves',)),
}


def get_config(argument: str) -> ConfigDict:
  """The config of a size, from the arrays of a file: 'SIZE,FILE'."""
  size, _, file = argument.partition(',')
  examples, _, width, epochs, fine_tuning, rows = SIZES[size]
  config = cifar10_small_topk.get_config().unlock()
  config.data.source = f'npz:{file}'
  config.data.num_train = examples
  config.model.width = width
  config.train.epochs = epochs
  config.train.batch_size = config.unlearn.batch_size = min(128, examples // 2)
  config.unlearn.epochs = fine_tuning
  for row in list(config.recipes):
    if rows and row not in rows:
      del config.recipes[row]
  return config.lock()
