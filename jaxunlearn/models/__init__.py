"""Networks, each a `Model`: by name, or from a module of your own."""

from typing import Any

from jaxunlearn.models import cnn, densenet, googlenet, resnet, vgg
from jaxunlearn.models.linen import from_linen, normalized
from jaxunlearn.types import Model

__all__ = ['create', 'from_linen', 'names', 'normalized']

_NETWORKS = {
  'cnn': cnn.CNN,
  'resnet18': resnet.ResNet18,
  'vgg19': vgg.VGG19,
  'googlenet': googlenet.GoogLeNet,
  'densenet121': densenet.DenseNet121,
}


def names() -> tuple[str, ...]:
  """The names that `create` knows."""
  return tuple(_NETWORKS)


def create(name: str, num_classes: int, **kwargs: Any) -> Model:
  """A network by name, on images in [0, 1]; see `normalized`.

  Args:
    name: 'cnn', 'resnet18', 'vgg19', 'googlenet' or 'densenet121'.
    num_classes: of the logits.
    **kwargs: `width`, which scales the network (64 is the paper's; densenet121
      takes its growth, 32 in the paper), and `dtype`, of the computation.

  Returns:
    The model.

  Raises:
    ValueError: an unknown name, or a width that the network cannot take.
  """
  if name not in _NETWORKS:
    raise ValueError(f'no network {name!r}; there are {", ".join(names())}.')
  return from_linen(_NETWORKS[name](num_classes=num_classes, **kwargs))
