"""Where the last leaves alone train: an epoch beside one of the whole."""

from collections.abc import Callable, Iterator

import jax

from benchmarks import images, networks, timing
from benchmarks.result import Result
from jaxunlearn import Task, UnlearningMethod, method, recipes, train

_K = 5


def run(quick: bool) -> Iterator[Result]:
  """CF-5 of ResNet18, its statistics updated; frozen; and with features kept.

  EU-5 takes the same steps from other parameters. Where features are kept, the
  first epoch, which computes them, stands by itself.
  """
  width, batch, steps = (4, 8, 2) if quick else (16, 128, 5)
  model, variables, _ = networks.pair(width)
  retain = images.examples(batch * steps, 1)
  task = Task(model, variables, images.examples(batch, 2), retain)
  whole = _epoch(recipes.finetune(js_weight=0.0), task, steps, batch)
  frozen = recipes.cf_k(_K, batch_stats='frozen')
  for name, own, target, keep in (
    ('statistics updated', recipes.cf_k(_K), 0.45, False),
    ('statistics frozen', frozen, 0.45, False),
    ('statistics frozen, features kept', frozen, 0.1, True),
  ):
    ours = _epoch(own, task, steps, batch, keep)
    if keep:
      # Once, so that what it compiles is compiled.
      timing.seconds(_epoch(own, task, steps, batch, keep))
      yield Result(
        f'last leaves/CF-{_K}, {name}, the first epoch',
        (timing.seconds(_epoch(own, task, steps, batch, keep)),),
        'an epoch of all leaves',
        (timing.seconds(whole),),
      )
    first, second = timing.pairs(ours, whole, 2 if quick else 5)
    yield Result(
      f'last leaves/CF-{_K}, {name}',
      first,
      'an epoch of all leaves',
      second,
      target=target,
    )


def _epoch(
  own: UnlearningMethod,
  task: Task,
  steps: int,
  batch: int,
  cache_features: bool = False,
) -> Callable:
  key = jax.random.key(0)
  selection = method.select(own, task, key)
  state = method.begin(own, task, task.original['params'], selection, key)
  found = method.fine_tune(
    own,
    task,
    state,
    key,
    num_steps=2**30,
    batch_size=batch,
    cache_features=cache_features,
  )
  calls = -(-steps // train.steps_per_call(steps, resident=True))
  return lambda: [next(found) for _ in range(calls)][-1]
