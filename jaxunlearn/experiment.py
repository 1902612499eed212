"""A whole run: from a config to a report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from jaxunlearn import (
  evaluation,
  masks,
  method,
  metrics,
  plan,
  report,
  settings,
  summary,
  train,
)
from jaxunlearn.clock import Clock
from jaxunlearn.course import Outcome, follow, stopping_rule
from jaxunlearn.data import augment, batches
from jaxunlearn.errors import Diverged
from jaxunlearn.models import adapters
from jaxunlearn.problem import Run, named_key, prepare
from jaxunlearn.progress import Progress
from jaxunlearn.settings import Row
from jaxunlearn.types import Resident, Task, as_source
from jaxunlearn.workdir import Workdir

__all__ = ['run']


def run(
  config: Any, workdir: str | Path, progress: Progress | None = None
) -> dict[str, Any]:
  """Trains or restores the original, unlearns by each recipe, reports.

  What the workdir holds already is not done again; rows may be added. Writes
  config.json, metrics.jsonl, original/, retrained/, unlearned/ROW/,
  report.json, report.md and figures/ there.

  Args:
    config: a ConfigDict with the keys of `configs/common.py`.
    workdir: a directory, made where it is missing.
    progress: where to say what happens; the terminal by default.

  Returns:
    The report, schema 1.

  Raises:
    InputError: a mistake in the config, the data, the request, the checkpoint
      or the workdir; training that diverged.
  """
  settings.check(config)
  rows = settings.rows(config)
  problem = prepare(config)
  work = Workdir(workdir)
  stages = plan.stages(config, rows, problem, work)
  this = Run(config, problem, work, stages, progress or Progress())
  done = [name for name, stage in stages.items() if stage.finished]
  for row in rows:
    if row.name not in done:
      plan.rehearse(row, problem)
  work.write_config(config.to_dict())
  for name in done:
    this.progress.say(f'{name}: done before')

  if 'original' not in done:
    obtain_original(this)
  plan.check_origin(stages)
  if 'retrained' in stages and 'retrained' not in done:
    retrain(this)
  for row in rows:
    if row.name not in done:
      unlearn(this, row)

  result = summary.assemble(config, problem, stages)
  if not config.original.keep:
    likeness = result['models']['original']['similarity']
    stages['original'].forget({'similarity': likeness})
  report.write(work.path, result, work.history())
  return result


def obtain_original(run: Run) -> None:
  """Trains the original on everything, or restores the user's."""
  problem, clock = run.problem, Clock()
  path = run.config.original.checkpoint
  if path:
    outcome = Outcome(adapters.restore(path, problem.like()), [], None)
  else:
    outcome = fit(run, 'original', as_source(problem.train), clock)
  facts = {'recipe': 'original', 'settings': {}, 'from': path or 'trained'}
  if path:
    facts['epochs'] = None  # Not measured: others trained it.
  finish(run, 'original', outcome, clock, facts)


def retrain(run: Run) -> None:
  """Trains the reference from scratch, on retain alone."""
  clock = Clock()
  outcome = fit(run, 'retrained', run.problem.retain, clock, watch=True)
  facts = {'recipe': 'retrain', 'settings': {}}
  finish(run, 'retrained', outcome, clock, facts)


def unlearn(run: Run, row: Row) -> None:
  """Selects, perturbs and fine-tunes, from the original."""
  problem, tuning, clock = run.problem, row.settings, Clock()
  original = run.stages['original'].variables(problem.like())
  task = Task(problem.model, original, problem.forget, problem.retain)
  key = named_key(tuning['seed'], 'unlearn')
  key_select, key_perturb, key_steps, key_tune = jax.random.split(key, 4)

  with clock.measure('select'):
    selection = method.select(row.method, task, key_select)
    jax.block_until_ready(selection)
  with clock.measure('perturb'):
    params = method.perturb(row.method, task, key_perturb, selection)
    jax.block_until_ready(params)
  state = method.begin(row.method, task, params, selection, key_steps)
  epoch_steps = batches.steps_per_epoch(
    len(problem.retain), tuning['batch_size']
  )
  steps = method.fine_tune(
    row.method,
    task,
    state,
    key_tune,
    num_steps=tuning['epochs'] * epoch_steps,
    batch_size=tuning['batch_size'],
    augment=augment.crop_and_flip if tuning['augment'] else None,
  )
  outcome = follow(
    run,
    row.name,
    steps,
    start=state.variables,
    epochs=tuning['epochs'],
    epoch_steps=epoch_steps,
    batch_size=min(tuning['batch_size'], len(problem.retain)),
    clock=clock,
    watch=True,
    stop=stopping_rule(run, task, tuning),
  )
  params = original['params']
  leaves = jax.tree.leaves(params)
  count = masks.count(selection.mask, params)
  facts = {
    'recipe': row.recipe,
    'original_sha256': run.stages['original'].result()['checkpoint_sha256'],
    'settings': dict(row.settings),
    'selected': {
      'scalars': int(count.scalars),
      'leaves': int(count.leaves),
      'total_scalars': sum(leaf.size for leaf in leaves),
      'total_leaves': len(leaves),
    },
    'dead': evaluation.dead(task, outcome.variables, jax.random.key(0)),
  }
  finish(run, row.name, outcome, clock, facts, selection.mask)


def fit(
  run: Run, name: str, source: Resident, clock: Clock, watch: bool = False
) -> Outcome:
  """Trains a model from scratch, with the settings of `config.train`."""
  how = run.config.train
  epoch_steps = batches.steps_per_epoch(len(source), how.batch_size)
  steps = train.fit(
    run.problem.model,
    source,
    named_key(how.seed, name),
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


def finish(
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
    **facts,
  }
  stage.finish(outcome.variables, logits, result, mask)
  run.work.remove_last_good(name)
  shown = ', '.join(
    f'{split} {100 * accuracy[split]:.2f} %' for split in problem.splits
  )
  run.progress.end()
  run.progress.say(f'{name}: accuracy on {shown}')
