"""How each model of a run is made: trained, restored or unlearned."""

from collections.abc import Mapping
from typing import Any

import jax

from jaxunlearn import evaluation, masks, method, metrics, settings, train
from jaxunlearn.clock import Clock
from jaxunlearn.course import Outcome, follow, stopping_rule
from jaxunlearn.data import augment, batches
from jaxunlearn.errors import Diverged, InputError
from jaxunlearn.models import adapters
from jaxunlearn.problem import Run, named_key
from jaxunlearn.rows import Row
from jaxunlearn.types import Resident, Task, as_source

__all__ = ['failed', 'original', 'retrained', 'row']


def original(run: Run) -> None:
  """Trains the original on everything, or restores the user's."""
  problem, clock = run.problem, Clock()
  path = run.config.original.checkpoint
  if path:
    outcome = Outcome(adapters.restore(path, problem.like()), [], None)
  else:
    outcome = _fit(
      run, 'original', as_source(problem.train), clock, run.config.train.seed
    )
  facts = {'recipe': 'original', 'settings': {}, 'from': path or 'trained'}
  if path:
    facts['epochs'] = None  # Not measured: others trained it.
  _finish(run, 'original', outcome, clock, facts)


def retrained(run: Run) -> None:
  """Trains the reference from scratch, on retain alone."""
  clock = Clock()
  seed = run.config.train.seed
  outcome = _fit(run, 'retrained', run.problem.retain, clock, seed, watch=True)
  facts = {'recipe': 'retrain', 'settings': {}}
  _finish(run, 'retrained', outcome, clock, facts)


def row(run: Run, row: Row) -> None:
  """Makes the model of a row: unlearned, or one that others are held against.

  Raises:
    Diverged: a loss or a logit is not finite.
  """
  if row.method is None:
    clock, seed = Clock(), row.settings['seed']
    outcome = _fit(run, row.name, run.problem.retain, clock, seed, watch=True)
    _finish(run, row.name, outcome, clock, _facts(run, row))
  else:
    _unlearn(run, row)


def failed(run: Run, row: Row, why: Exception) -> None:
  """Writes that a row cannot be made.

  What is the row's own fault is not tried again; what is the device's, such as
  memory that ran out, is at the next start.
  """
  (reason, *_) = str(why).splitlines() or [type(why).__name__]
  again = not isinstance(why, InputError)
  run.stages[row.name].fail(
    {**_facts(run, row), 'failed': reason, 'again': again}
  )
  run.progress.end()
  run.progress.say(f'{row.name}: failed, {reason}')


def _unlearn(run: Run, row: Row) -> None:
  """Selects, perturbs and fine-tunes, from the original."""
  problem, tuning, clock = run.problem, row.settings, Clock()
  original = run.stages['original'].variables(problem.like())
  retain = problem.retain if row.forgets else as_source(problem.train)
  task = Task(problem.model, original, problem.forget, retain)
  key = named_key(tuning['seed'], 'unlearn')
  key_select, key_perturb, key_steps, key_tune = jax.random.split(key, 4)

  with clock.measure('select'):
    selection = method.select(row.method, task, key_select)
    jax.block_until_ready(selection)
  with clock.measure('perturb'):
    params = method.perturb(row.method, task, key_perturb, selection)
    jax.block_until_ready(params)
  state = method.begin(row.method, task, params, selection, key_steps)
  epoch_steps = batches.steps_per_epoch(len(retain), tuning['batch_size'])
  steps = method.fine_tune(
    row.method,
    task,
    state,
    key_tune,
    num_steps=tuning['epochs'] * epoch_steps,
    batch_size=tuning['batch_size'],
    augment=augment.crop_and_flip if tuning['augment'] else None,
    cache_features=tuning['cache_features'],
  )
  outcome = follow(
    run,
    row.name,
    steps,
    start=state.variables,
    epochs=tuning['epochs'],
    epoch_steps=epoch_steps,
    batch_size=min(tuning['batch_size'], len(retain)),
    clock=clock,
    watch=True,
    stop=stopping_rule(run, task, tuning),
  )
  params = original['params']
  leaves = jax.tree.leaves(params)
  count = masks.count(selection.mask, params)
  facts = _facts(run, row) | {
    'selected': {
      'scalars': int(count.scalars),
      'leaves': int(count.leaves),
      'total_scalars': sum(leaf.size for leaf in leaves),
      'total_leaves': len(leaves),
    },
    'dead': evaluation.dead(task, outcome.variables, jax.random.key(0)),
  }
  _finish(run, row.name, outcome, clock, facts, selection.mask)


def _facts(run: Run, row: Row) -> dict[str, Any]:
  return {
    'recipe': row.recipe,
    'original_sha256': run.stages['original'].result()['checkpoint_sha256'],
    'settings': dict(row.settings),
  }


def _fit(
  run: Run,
  name: str,
  source: Resident,
  clock: Clock,
  seed: int,
  watch: bool = False,
) -> Outcome:
  """Trains a model from scratch, with the settings of `config.train`."""
  how = run.config.train
  epoch_steps = batches.steps_per_epoch(len(source), how.batch_size)
  steps = train.fit(
    run.problem.model,
    source,
    named_key(seed, name),
    num_steps=how.epochs * epoch_steps,
    batch_size=how.batch_size,
    tx=settings.optimizer(how, epoch_steps),
    augment=augment.crop_and_flip if how.augment else None,
  )
  return follow(
    run,
    name,
    steps,
    start=None,
    epochs=how.epochs,
    epoch_steps=epoch_steps,
    batch_size=min(how.batch_size, len(source)),
    clock=clock,
    watch=watch,
  )


def _finish(
  run: Run,
  name: str,
  outcome: Outcome,
  clock: Clock,
  facts: Mapping[str, Any],
  mask: Any = None,
) -> None:
  """Evaluates a model on every split and writes its stage."""
  problem, stage = run.problem, run.stages[name]
  try:
    logits = evaluation.logits(problem.model, outcome.variables, problem.splits)
  except Diverged as error:
    raise Diverged(f'{name} diverged: {error}.') from error
  accuracy = evaluation.accuracies(
    logits, problem.splits, problem.request.labels_before
  )
  if name == 'original':
    target = accuracy['retain']
  else:
    target = run.stages['original'].result()['accuracy']['retain']
  course = [line['accuracy_retain'] for line in outcome.lines]
  converged = None
  if None not in course:
    converged = metrics.converged_epoch(course, target)
  spent = {k: v for k, v in clock.seconds.items() if k != 'compile'}
  result = {
    'accuracy': accuracy,
    'seconds': {
      'select': spent.get('select'),
      'perturb': spent.get('perturb'),
      'fine_tune': spent.get('fine_tune'),
      'total': sum(spent.values()) if spent else None,
      'compile': clock.seconds['compile'] if spent else None,
    },
    'epochs': len(outcome.lines),
    'epoch_seconds': [line['seconds'] for line in outcome.lines],
    'converged_epoch': converged,
    'stopped': outcome.stopped,
    'device': jax.devices()[0].device_kind,
    **facts,
  }
  stage.finish(outcome.variables, logits, result, mask)
  run.work.remove_last_good(name)
  shown = ', '.join(
    f'{split} {100 * accuracy[split]:.2f} %' for split in problem.splits
  )
  run.progress.end()
  run.progress.say(f'{name}: accuracy on {shown}')
