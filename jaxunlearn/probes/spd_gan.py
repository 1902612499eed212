"""SPD-GAN: the unlearning degree, by noise that tells two models apart.

A generator G looks at each forget image x and makes a noise that leaves the
original's answer as it is and breaks the unlearned model's:

  x_p = clip(x + max_noise · G(x), 0, 1),     G(x) in [-1, 1].

The noise lives in pixel space, where images are in [0, 1]: judges take such
images and normalise them themselves, and a bound in pixels means something to
a person. The sum is clipped, because judges are asked about images. Where the
clip holds a pixel the noise has no effect, and rightly no gradient.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxunlearn.data import batches
from jaxunlearn.gather import to_host
from jaxunlearn.metrics import images as image_metrics
from jaxunlearn.models.linen import to_float
from jaxunlearn.probes import generator
from jaxunlearn.probes.gan_steps import begin, steps
from jaxunlearn.probes.judges import Judge, hits, judge
from jaxunlearn.types import (
  Array,
  Batch,
  Source,
  State,
  Variables,
  as_pytree,
  as_source,
)

__all__ = [
  'SpdGan',
  'begin',
  'degree',
  'finish',
  'judge',
  'measure',
  'perturb',
  'steps',
  'train',
]


class SpdGan(NamedTuple):
  """A trained generator; a pytree.

  Attributes:
    variables: of the `Generator`; its width can be read from them.
    max_noise: amplitude of the noise, in pixels of [0, 1].
    history: of the training, float [calls] each: for each XLA call (a step on
      a CPU, elsewhere up to 32) the means over its steps of `loss`,
      `cross_entropy_original` and `cross_entropy_judged`. Where the last loss
      is not finite the generator diverged, and what it says means nothing.
  """

  variables: Variables
  max_noise: float
  history: Mapping[str, np.ndarray]


def train(
  key: Array,
  original_fn: Judge,
  unlearned_fn: Judge,
  forget: Source | Batch,
  *,
  num_steps: int,
  eta: float = 0.03,
  batch_size: int = 128,
  learning_rate: optax.ScalarOrSchedule = 1e-3,
  max_noise: float = 1.0,
  width: int = 32,
) -> SpdGan:
  """Trains a generator against two judges, which stay as they are.

  With Adam it minimises the mean over forget (x, y) of

    CE(original(x_p), y) - η CE(unlearned(x_p), y).

  Its batch normalisation sees the batch while it trains.

  Args:
    key: of the initialisation and the shuffling.
    original_fn: the original, as a `judge` or any function like it.
    unlearned_fn: the model to be judged, likewise.
    forget: n examples, uint8 or float in [0, 1].
    num_steps: steps to take; an epoch is max(1, n // batch_size) of them.
    eta: η, the weight of the second term.
    batch_size: examples in a step; all of them, where there are fewer.
    learning_rate: Adam's.
    max_noise: bounds the noise, in pixels of [0, 1]. 1 as printed, which
      allows any image whatever; 8 / 255 is what one hardly sees.
    width: of the `Generator`.

  Returns:
    The generator.

  Raises:
    ValueError: no step, an empty batch, or a `max_noise` outside of (0, 1].

  Reference:
    Zuo et al. (2025), Algorithm 2.
  """
  state = begin(key, forget, learning_rate=learning_rate, width=width)
  history = []
  taken = steps(
    state,
    key,
    original_fn,
    unlearned_fn,
    forget,
    num_steps=num_steps,
    eta=eta,
    batch_size=batch_size,
    learning_rate=learning_rate,
    max_noise=max_noise,
    width=width,
  )
  for after, metrics in taken:
    state = after
    history.append(metrics)
  return finish(state, history, max_noise)


def finish(
  state: State, history: Sequence[Mapping[str, Array]], max_noise: float
) -> SpdGan:
  """The generator that `steps` came to.

  Args:
    state: the last.
    history: the metrics of all, in order.
    max_noise: as in `train`.
  """
  history = jax.tree.map(lambda *x: np.stack(x), *to_host(history))
  return SpdGan(state.variables, max_noise, history)


def perturb(gan: SpdGan, images: Array) -> tuple[Array, Array]:
  """Noise for images, and the images under it.

  Batch normalisation runs on the statistics that were kept while training:
  what an image gets does not depend on its neighbours.

  Args:
    gan: as trained.
    images: [n, h, w, c], uint8 or float in [0, 1].

  Returns:
    (perturbed, noise), float [n, h, w, c]: perturbed in [0, 1], and the noise
    before clipping, |noise| <= max_noise. Neither is rounded to 8 bits.
  """
  return generator.perturb(gan.variables, gan.max_noise, jnp.asarray(images))


def degree(
  gan: SpdGan,
  original_fn: Judge,
  unlearned_fn: Judge,
  forget: Source | Batch,
  batch_size: int = 128,
) -> float:
  """The unlearning degree, accuracy(original, D_p) - accuracy(unlearned, D_p).

  D_p is forget under the generator's noise. A model against itself has exactly
  0. A degree alone says little: see `measure`.

  Args:
    gan: trained with these judges on these examples.
    original_fn: as in `train`.
    unlearned_fn: as in `train`.
    forget: as in `train`.
    batch_size: examples in a pass.

  Returns:
    In [-1, 1].

  Reference:
    Zuo et al. (2025), Eq. 14.
  """
  return measure(gan, original_fn, unlearned_fn, forget, batch_size)['degree']


def measure(
  gan: SpdGan,
  original_fn: Judge,
  unlearned_fn: Judge,
  forget: Source | Batch,
  batch_size: int = 128,
) -> dict[str, float | None]:
  """The degree, and what one needs to read it.

  Args:
    gan: as in `degree`.
    original_fn: as in `train`.
    unlearned_fn: as in `train`.
    forget: as in `train`.
    batch_size: examples in a pass, as of `batches.once_each`; what pads the
      last is cut off.

  Returns:
    `degree`: Eq. 14.
    `accuracy_before`: of the original on forget as it is.
    `accuracy_original`: of the original on D_p. Noise should leave it there.
    `accuracy_judged`: of the unlearned model on D_p.
    `noise_l2`: the Euclidean norm of x_p - x, in pixels of [0, 1]; the mean.
    `noise_linf`: the largest change of any pixel of any image.
    `psnr`: in decibels; the mean over images that changed, None if none did.
    `ssim`: the mean.

  Raises:
    ValueError: a batch size below 1.
  """
  source = as_source(forget)
  original, judged = as_pytree(original_fn), as_pytree(unlearned_fn)
  parts = []
  for batch in batches.read(source, batches.once_each(source, batch_size)):
    image, label = to_float(batch['image']), batch['label']
    perturbed, _ = perturb(gan, image)
    part = {
      'accuracy_before': hits(original, image, label),
      'accuracy_original': hits(original, perturbed, label),
      'accuracy_judged': hits(judged, perturbed, label),
      **_distances(image, perturbed),
    }
    parts.append(part)
  each = jax.tree.map(
    lambda *x: np.concatenate(x)[: len(source)].astype(float), *to_host(parts)
  )
  mean = {name: float(values.mean()) for name, values in each.items()}
  changed = each['psnr'][each['psnr'] != np.inf]
  return {
    'degree': mean['accuracy_original'] - mean['accuracy_judged'],
    **mean,
    'noise_linf': float(each['noise_linf'].max()),
    'psnr': float(changed.mean()) if changed.size else None,
  }


@jax.jit
def _distances(image: Array, perturbed: Array) -> dict[str, Array]:
  change = (perturbed - image).reshape(image.shape[0], -1)
  return {
    'noise_l2': jnp.sqrt((change**2).sum(axis=1)),
    'noise_linf': jnp.abs(change).max(axis=1),
    'psnr': image_metrics.psnr(image, perturbed),
    'ssim': image_metrics.ssim(image, perturbed),
  }
