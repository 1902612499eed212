"""The course of a training run: logged by epoch, and stopped by a rule."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxunlearn import evaluation, mesh, metrics
from jaxunlearn.attempt import Attempt
from jaxunlearn.epochs import by_epoch
from jaxunlearn.errors import Diverged
from jaxunlearn.problem import Run
from jaxunlearn.types import Task, Variables, as_source

__all__ = ['Outcome', 'follow', 'stopping_rule']

StopRule = Callable[[list, Mapping], str | None]

# As many as `predict.logits` takes at once: any other number would be compiled
# for itself.
_GLANCE = 128


class Outcome(NamedTuple):
  """A trained model and how it came about.

  Attributes:
    variables: the model.
    lines: what was logged, a line an epoch.
    stopped: by which rule, or None where nothing was trained.
    changes: of the machine or the versions on the way, as in `Attempt`.
  """

  variables: Variables
  lines: list[dict[str, Any]]
  stopped: str | None
  changes: list[dict[str, Any]]


def follow(
  run: Run,
  attempt: Attempt,
  steps: Iterator,
  *,
  begun: bool,
  epochs: int,
  epoch_steps: int,
  batch_size: int,
  watch: bool,
  resident: bool,
  stop: StopRule = lambda lines, logits: None,
) -> Outcome:
  """Takes the steps, logs each epoch, and stops where the rule says so.

  Args:
    run: the run.
    attempt: of the model that is trained; its lines grow.
    steps: (state, metrics) from its state on, one for each XLA call.
    begun: whether what it starts from is a model already.
    epochs: at most.
    epoch_steps: steps in each.
    batch_size: examples of the leading split in a step.
    watch: whether to measure accuracy on forget and retain after each epoch.
    resident: whether what is trained on is on the device.
    stop: (lines, logits by split) -> the rule that says stop, or None.

  Raises:
    Diverged: a loss or logit is not finite; the last model that was is kept,
      as `Workdir.save_last_good` says, and named.
    Interrupted: a signal came; the attempt is saved.
  """
  name, lines = attempt.name, attempt.lines
  run.work.write_lines(name, lines)
  variables = attempt.state.variables if lines else None
  stopped = 'epochs' if epochs else None
  model, retain = run.problem.model, run.problem.retain
  watched = {k: run.problem.splits[k] for k in ('forget', 'retain')}
  first = retain.take(np.arange(min(_GLANCE, len(retain))))
  glance = {'retain': mesh.spread(run.problem.mesh, as_source(first))}
  try:
    if begun and not lines:
      evaluation.logits(model, attempt.state.variables, glance)
      variables = attempt.state.variables
    for epoch in by_epoch(
      steps,
      attempt,
      epochs=epochs,
      epoch_steps=epoch_steps,
      batch_size=batch_size,
      progress=run.progress,
      resident=resident,
    ):
      line = {
        'model': name,
        'epoch': epoch.number,
        'step': epoch.step,
        **epoch.metrics,
        'seconds': attempt.clock.seconds['fine_tune'],
        'examples_per_second': epoch.examples_per_second,
        'accuracy_forget': None,
        'accuracy_retain': None,
      }
      logits = evaluation.logits(
        model, epoch.variables, watched if watch else glance
      )
      if watch:
        found = evaluation.accuracies(logits, watched, None)
        line['accuracy_forget'] = found['forget']
        line['accuracy_retain'] = found['retain']
      run.work.log(line)
      lines.append(line)
      variables = epoch.variables
      rule = stop(lines, logits)
      if rule:
        stopped = rule
        break
  except Diverged as error:
    remedy = 'lower its learning_rate or its factor'
    if name in ('original', 'retrained'):
      remedy = 'lower train.learning_rate'
    if variables is not None:
      kept = run.work.save_last_good(name, variables)
      remedy += f'; the last good model is in {kept}'
    raise Diverged(f'{name} diverged: {error}; {remedy}.') from error
  return Outcome(variables, lines, stopped, attempt.changes)


def stopping_rule(run: Run, task: Task, tuning: Mapping[str, Any]) -> StopRule:
  """The rule of `unlearn.stop`, beyond a number of epochs."""
  threshold = tuning['threshold']
  if tuning['stop'] == 'similar':
    before = evaluation.logits(
      task.model, task.original, {'forget': run.problem.forget}
    )

    def similar(lines: list, logits: Mapping) -> str | None:
      likeness = metrics.similarity(logits['forget'], before['forget'])
      return 'similar' if likeness >= threshold else None

    return similar
  if tuning['stop'] == 'converged':
    target = run.stages['original'].result()['accuracy']['retain']

    def converged(lines: list, logits: Mapping) -> str | None:
      course = [line['accuracy_retain'] for line in lines]
      epoch = metrics.converged_epoch(course, target, threshold)
      return 'converged' if epoch else None

    return converged
  return lambda lines, logits: None
