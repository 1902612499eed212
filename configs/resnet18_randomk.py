"""The paper's Random-k: ResNet18, CIFAR-10, 10 % forgotten, k = 5 %, λ = 0.1.

  python -m jaxunlearn.launch --config=configs/resnet18_randomk.py

The full size wants an accelerator and has not been measured, but for 3 epochs
in bfloat16 (docs/reproduction.md). With the small settings that
`resnet18_topk.py` names it selected 558,860 scalars, 5.0 % of 11,173,962, and
after 3 steps had 11.93 % on retain, having learned next to nothing; measured at
commit f076cfa.
"""

from ml_collections import ConfigDict

from configs import common, resnet18_topk


def get_config() -> ConfigDict:
  """As `resnet18_topk.py`, with the other strategy."""
  config = resnet18_topk.get_config().unlock()
  config.recipes = common.rows(
    {
      'random_k': {
        'name': 'random_k',
        'fraction': 0.05,
        'factor': 0.1,
        'js_weight': 0.1,
      },
    }
  )
  return config.lock()
