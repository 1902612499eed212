"""How each model of a run is made: trained, restored or unlearned."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from jaxunlearn import (
  evaluation,
  machine,
  masks,
  method,
  metrics,
  plan,
  settings,
  train,
)
from jaxunlearn.attempt import Attempt
from jaxunlearn.clock import Clock
from jaxunlearn.course import Outcome, follow, stopping_rule
from jaxunlearn.data import augment, batches
from jaxunlearn.errors import Diverged, InputError
from jaxunlearn.problem import Run, named_key
from jaxunlearn.rows import Row
from jaxunlearn.types import (
  Array,
  Params,
  Selection,
  Source,
  Task,
)

__all__ = ['failed', 'original', 'retrained', 'row']


def original(run: Run) -> None:
  """Trains the original on everything, or restores the user's."""
  problem, clock, how = run.problem, Clock(), run.config.train
  path = run.config.original.checkpoint
  facts = {'recipe': 'original', 'settings': {}, 'from': path or 'trained'}
  with _begun(run, 'original'):
    if path:
      variables, made = plan.restored(path, problem.like())
      outcome = Outcome(variables, [], None, made.get('changes', []))
      facts['epochs'] = None  # Not measured: others trained it.
      # Where it was made, if it says so.
      facts |= {
        k: made[k] for k in ('environment', 'deterministic') if k in made
      }
    else:
      source = problem.everything()
      outcome = _fit(run, 'original', source, clock, how.seed)
    _finish(run, 'original', outcome, clock, facts)


def retrained(run: Run) -> None:
  """Trains the reference from scratch, on retain alone."""
  clock = Clock()
  seed = run.config.train.seed
  retain, facts = run.problem.retain, {'recipe': 'retrain', 'settings': {}}
  with _begun(run, 'retrained'):
    outcome = _fit(run, 'retrained', retain, clock, seed, watch=True)
    _finish(run, 'retrained', outcome, clock, facts)


def row(run: Run, row: Row) -> None:
  """Makes the model of a row: unlearned, or one that others are held against.

  Raises:
    Diverged: a loss or a logit is not finite.
  """
  with _begun(run, row.name):
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


@contextlib.contextmanager
def _begun(run: Run, name: str) -> Iterator[None]:
  """What has diverged is nothing to go on from."""
  try:
    yield
  except Diverged:
    run.stages[name].abandon()
    raise


def _unlearn(run: Run, row: Row) -> None:
  """Selects, perturbs and fine-tunes, from the original."""
  problem, tuning, clock = run.problem, row.settings, Clock()
  like = problem.like()
  original = problem.place(run.stages['original'].variables(like))
  retain = problem.retain if row.forgets else problem.everything()
  task = Task(problem.model, original, problem.forget, retain)
  key = named_key(tuning['seed'], 'unlearn')
  *keys, key_steps, key_tune = jax.random.split(key, 4)
  selection, params, changes = _perturbed(run, row, task, keys, clock)
  state = problem.place(
    method.begin(row.method, task, params, selection, key_steps)
  )
  mask = selection.mask
  stage, facts = run.stages[row.name], _facts(run, row)
  attempt = Attempt(run, row.name, stage.checkpoints, state, clock, facts)
  attempt.changes = attempt.changes or changes
  # What is held here stays in memory while steps are taken.
  del selection, params, state
  epoch_steps = batches.steps_per_epoch(len(retain), tuning['batch_size'])
  steps = method.fine_tune(
    row.method,
    task,
    attempt.state,
    key_tune,
    num_steps=tuning['epochs'] * epoch_steps,
    batch_size=tuning['batch_size'],
    augment=augment.crop_and_flip if tuning['augment'] else None,
    cache_features=tuning['cache_features'],
  )
  outcome = follow(
    run,
    attempt,
    steps,
    begun=True,
    epochs=tuning['epochs'],
    epoch_steps=epoch_steps,
    batch_size=min(tuning['batch_size'], len(retain)),
    watch=True,
    resident=problem.resident or tuning['cache_features'],
    stop=stopping_rule(run, task, tuning),
  )
  params = original['params']
  leaves = jax.tree.leaves(params)
  count = masks.count(mask, params)
  facts |= {
    'selected': {
      'scalars': int(count.scalars),
      'leaves': int(count.leaves),
      'total_scalars': sum(leaf.size for leaf in leaves),
      'total_leaves': len(leaves),
    },
    'dead': evaluation.dead(task, outcome.variables, jax.random.key(0)),
  }
  _finish(run, row.name, outcome, clock, facts, mask)


def _perturbed(
  run: Run, row: Row, task: Task, keys: list[Array], clock: Clock
) -> tuple[Selection, Params, list[dict[str, Any]]]:
  """Selects and perturbs, or reads what an earlier attempt did, and where."""
  kept = run.stages[row.name].selected
  mask, original = plan.rehearse(row, run.problem).mask, task.original['params']
  saved = kept.latest({'mask': mask, 'params': original}, run.progress.say)
  if saved:
    clock.go_on(saved.facts['seconds'])
    tree = run.problem.place(saved.tree)
    return Selection(tree['mask']), tree['params'], saved.changes
  with clock.measure('select'):
    selection = method.select(row.method, task, keys[0])
    jax.block_until_ready(selection)
  with clock.measure('perturb'):
    params = method.perturb(row.method, task, keys[1], selection)
    jax.block_until_ready(params)
  facts = {**_facts(run, row), 'seconds': clock.seconds}
  kept.save(0, {'mask': selection.mask, 'params': params}, facts)
  return selection, params, []


def _facts(run: Run, row: Row) -> dict[str, Any]:
  return {
    'recipe': row.recipe,
    'original_sha256': run.stages['original'].result()['checkpoint_sha256'],
    'settings': dict(row.settings),
  }


def _fit(
  run: Run,
  name: str,
  source: Source,
  clock: Clock,
  seed: int,
  watch: bool = False,
) -> Outcome:
  """Trains a model from scratch, with the settings of `config.train`."""
  how = run.config.train
  epoch_steps = batches.steps_per_epoch(len(source), how.batch_size)
  tx = settings.optimizer(how, epoch_steps)
  model, key = run.problem.model, named_key(seed, name)
  kept = run.stages[name].checkpoints
  begun = train.begin(model, source, key, tx)
  attempt = Attempt(run, name, kept, run.problem.place(begun), clock)
  del begun
  steps = train.fit(
    model,
    source,
    key,
    num_steps=how.epochs * epoch_steps,
    batch_size=how.batch_size,
    tx=tx,
    augment=augment.crop_and_flip if how.augment else None,
    state=attempt.state,
  )
  return follow(
    run,
    attempt,
    steps,
    begun=False,
    epochs=how.epochs,
    epoch_steps=epoch_steps,
    batch_size=min(how.batch_size, len(source)),
    watch=watch,
    resident=run.problem.resident,
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
    'environment': machine.environment(),
    'deterministic': machine.deterministic(),
    'changes': outcome.changes,
    **facts,
  }
  stage.finish(outcome.variables, logits, result, mask)
  run.work.remove_last_good(name)
  shown = ', '.join(
    f'{split} {100 * accuracy[split]:.2f} %' for split in problem.splits
  )
  run.progress.end()
  run.progress.say(f'{name}: accuracy on {shown}')
