"""Scores: how much each entry of the parameters matters.

A score function is (key, task) -> scores.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxunlearn.types import Array, Params, Scores, Task, Variables, as_source

__all__ = ['gradient']

ScoreFn = Callable[[Array, Task], Scores]


def gradient(
  loss: str = 'cross_entropy',
  split: str = 'train',
  num_examples: int = 128,
  per_example: bool = False,
) -> ScoreFn:
  r"""Sensitivity: the absolute gradient of the trained model.

  .. math::
    s_i = |∂/∂ω_i \; mean_n\, f(ω; x_n)| \quad\text{or}\quad
    s_i = mean_n\, |∂/∂ω_i \; f(ω; x_n)|

  The network is in eval mode: its batch statistics are those it was trained
  to, and do not mix the examples.

  Example:
    A linear model of one pixel, which is 1:

    >>> from jaxunlearn.types import Model
    >>> def apply(variables, image, train):
    ...   return image[:, 0, 0] @ variables['params'], variables
    >>> batch = {'image': jnp.ones((4, 1, 1, 1)), 'label': jnp.zeros(4, int)}
    >>> original = {'params': jnp.zeros((1, 2))}
    >>> task = Task(Model(None, apply, None), original, batch, batch)
    >>> gradient()(jax.random.key(0), task).tolist()
    [[0.5, 0.5]]

  Args:
    loss: 'cross_entropy', or 'output_norm' for the squared L2 norm of the
      logits, which needs no labels (Memory Aware Synapses).
    split: 'forget', 'retain', or 'train' for both in proportion to their size.
    num_examples: how many are drawn, by `key`, without replacement; all, where
      the split holds fewer. They are in memory at once.
    per_example: the mean of the examples' absolute gradients instead of the
      absolute value of their mean gradient. One backward pass per example, in
      a loop that keeps memory at one copy of the parameters; on a CPU it is
      slow for a network whose convolutions are not those of `models`.

  Returns:
    (key, task) -> scores, of the structure, shapes and dtypes of the
    parameters.

  Raises:
    ValueError: an unknown loss or split, or fewer than one example.

  Reference:
    Zuo et al. (2025), Eq. 6. Aljundi et al., Memory Aware Synapses (2018),
    average per example.
  """
  if loss not in _LOSSES:
    raise ValueError(f'no score of {loss!r}; there are {", ".join(_LOSSES)}.')
  if split not in ('train', 'forget', 'retain'):
    raise ValueError(
      f'scores are taken on train, forget or retain, not {split}'
    )
  if num_examples < 1:
    raise ValueError(f'scores need at least one example, not {num_examples}.')
  return _gradient(loss, split, num_examples, per_example)


# One object for equal arguments, so that what is compiled of it is found again.
@functools.lru_cache(maxsize=64)
def _gradient(
  loss: str, split: str, num_examples: int, per_example: bool
) -> ScoreFn:
  score = _mean_of_absolute if per_example else _absolute_of_mean

  def of_examples(key: Array, task: Task) -> Scores:
    examples = _draw(key, task, split, num_examples)
    return score(task.model.apply, loss, task.original, *examples)

  return of_examples


# Both are traced once for a network, though a sweep selects many times.
@functools.partial(jax.jit, static_argnums=(0, 1))
def _absolute_of_mean(apply, loss, variables, image, label) -> Scores:
  gradient = jax.grad(_mean_loss(apply, loss, variables))
  found = gradient(variables['params'], image, label)
  return jax.tree.map(jnp.abs, found)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _mean_of_absolute(apply, loss, variables, image, label) -> Scores:
  params = variables['params']
  gradient = jax.grad(_mean_loss(apply, loss, variables))

  def add(total, example):
    found = gradient(params, *example)
    return jax.tree.map(lambda t, g: t + jnp.abs(g), total, found), None

  zeros = jax.tree.map(jnp.zeros_like, params)
  total, _ = jax.lax.scan(add, zeros, (image[:, None], label[:, None]))
  return jax.tree.map(lambda t: t / label.shape[0], total)


def _mean_loss(apply: Callable, loss: str, variables: Variables) -> Callable:
  def value(params: Params, image: Array, label: Array) -> Array:
    logits, _ = apply({**variables, 'params': params}, image, False)
    return _LOSSES[loss](logits, label).mean()

  return value


def _draw(key: Array, task: Task, split: str, num_examples: int):
  """Images and labels of examples drawn without replacement."""
  names = ('retain', 'forget') if split == 'train' else (split,)
  sources = [as_source(getattr(task, name)) for name in names]
  sizes = [len(source) for source in sources]
  chosen = jax.random.choice(
    key, sum(sizes), (min(num_examples, sum(sizes)),), replace=False
  )
  batch = sources[0].take(jnp.minimum(chosen, sizes[0] - 1))
  image, label = batch['image'], batch['label']
  if len(sources) == 2:
    second = chosen >= sizes[0]
    of_image = second.reshape(-1, *(1,) * (image.ndim - 1))
    other = sources[1].take(jnp.maximum(chosen - sizes[0], 0))
    image = jnp.where(of_image, other['image'], image)
    label = jnp.where(second, other['label'], label)
  return image, label


def _squared_output_norm(logits: Array, label: Array) -> Array:
  del label
  return jnp.sum(logits**2, axis=-1)


_LOSSES = {
  'cross_entropy': optax.softmax_cross_entropy_with_integer_labels,
  'output_norm': _squared_output_norm,
}
