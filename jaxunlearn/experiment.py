"""A whole run, or a matrix of runs: from a config to a report."""

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from jaxunlearn import (
  compile_cache,
  files,
  hosts,
  making,
  matrix,
  mesh,
  plan,
  probing,
  report,
  rows,
  settings,
  summary,
)
from jaxunlearn.data import sources
from jaxunlearn.errors import (
  Diverged,
  Impossible,
  InputError,
  Unavailable,
)
from jaxunlearn.locks import alone_in
from jaxunlearn.problem import Load, Run, prepare
from jaxunlearn.progress import Progress
from jaxunlearn.rows import Row
from jaxunlearn.workdir import Workdir

__all__ = ['run']


def run(
  config: Any,
  workdir: str | Path,
  progress: Progress | None = None,
  noted: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
  """Trains or restores the original, unlearns by each recipe, reports.

  What the workdir holds already is not done again; rows may be added. Writes
  config.json, metrics.jsonl, original/, retrained/, unlearned/ROW/, probes/,
  report.json, report.md and figures/ there; where `config.matrix` names cells,
  all of that for each in cells/CELL/, and tables and figures of them together.

  Args:
    config: a ConfigDict with the keys of `configs/common.py`.
    workdir: a directory, made where it is missing.
    progress: where to say what happens; the terminal by default.
    noted: () -> whether to stop at the next step, as `interrupts.noted` gives
      it.

  Returns:
    The report, schema 1; of a matrix {cell: report}, None for one that failed.

  Raises:
    InputError: a mistake in the config, the data, the request, the checkpoint
      or the workdir; training that diverged; memory that is full.
    Interrupted: it was told to stop. What was done is on disk.
  """
  progress = progress or Progress()
  with (
    files.leaving_none_empty(workdir),
    files.writing(f'what was finished in {workdir} is kept'),
  ):
    if config.matrix and hosts.several():
      raise InputError(
        'config.matrix is run by one process: leave hosts.coordinator empty, '
        'or give a config of one run to many processes.'
      )
    if config.matrix:
      make, cell = (
        functools.partial(part, noted=noted)
        for part in (_make_original, _run_cell)
      )
      return matrix.run(config, workdir, progress, make, cell)
    try:
      return _run(config, workdir, progress, noted=noted)
    except jax.errors.JaxRuntimeError as error:
      if 'RESOURCE_EXHAUSTED' not in str(error):
        raise
      raise Unavailable(
        f'the memory of the device is full; what was finished in {workdir} is '
        'kept: lower train.batch_size, unlearn.batch_size or model.width, '
        'raise mesh.model where there are more devices, or leave it more room.'
      ) from error


def _run(
  config: Any,
  workdir: str | Path,
  progress: Progress,
  load: Load = sources.load,
  *,
  noted: Callable[[], bool],
  go_on: bool = False,
) -> dict[str, Any]:
  settings.check(config)
  probing.check(config)
  wanted = rows.rows(config)
  _check_alike(
    _digest(config),
    'have the same settings: give all of them the same config and flags.',
  )
  problem = hosts.together(lambda: prepare(config, load))
  _check_alike(
    problem.facts['dataset_sha256'] + problem.facts['forget_sha256'],
    'read the same data, or the same request: give all of them the same files.',
  )
  work = hosts.together(lambda: Workdir(workdir))
  with _alone(work.path, progress.say):
    if (work.path / 'cells').exists():
      raise InputError(
        f'{work.path} holds a matrix of runs: choose another --workdir.'
      )
    stages = plan.stages(config, wanted, problem, work)
    this = Run(config, problem, work, stages, progress, noted)
    if config.data.source.startswith('tfds:'):
      where = (
        'in memory' if problem.resident else 'on disk until a step needs them'
      )
      progress.say(f'{config.data.source}: images stay {where}')
    if problem.mesh:
      progress.say(mesh.described(problem.mesh))
    try:
      with mesh.within(problem.mesh):
        return _work(this, wanted, go_on)
    finally:
      # Nothing is written any more when another may begin.
      for stage in stages.values():
        stage.settle()


def _work(run: Run, wanted: list[Row], go_on: bool) -> dict[str, Any]:
  """What there is to do in a workdir that is this run's alone."""
  config, stages, progress = run.config, run.stages, run.progress
  for stage in stages.values():
    stage.check()
  probing.check_made(config, run.work.path)
  run.work.history()  # Raises where it is damaged.
  run.work.tidy()
  made = {'original', 'retrained', *(row.name for row in wanted)}
  for name, stage in stages.items():
    stage.tidy(again=name in made)
  done = [name for name, stage in stages.items() if stage.finished]
  missing = [row for row in wanted if row.name not in done]
  for row in () if go_on else missing:
    plan.rehearse(row, run.problem)
  for name in done:
    progress.say(f'{name}: done before')

  there = 'original' in done
  if not there:
    run.check_stop('original has not begun')
  if not there and config.original.checkpoint:
    # Before all else, for what others have written may be wrong.
    making.original(run)
    there = True
  run.work.write_config(config.to_dict())
  if not there:
    making.original(run)
  plan.check_origin(stages)
  if 'retrained' in stages and 'retrained' not in done:
    run.check_stop('retrained has not begun')
    making.retrained(run)
  for row in missing:
    run.check_stop(f'{row.name} has not begun')
    compile_cache.make_room()
    try:
      plan.rehearse(row, run.problem)
      making.row(run, row)
    except (Diverged, Impossible, jax.errors.JaxRuntimeError) as error:
      if not go_on:
        raise
      making.failed(run, row, error)
  probes = probing.ask(run)

  result = summary.assemble(config, run.problem, stages, probes)
  # What is to be tried again needs the original.
  again = any(stage.result().get('again') for stage in stages.values())
  again = again or not probing.answered(result, run.work.path)
  if not config.original.keep and not again:
    likeness = result['models']['original']['similarity']
    stages['original'].forget({'similarity': likeness})
    run.work.sweep(stages)
  hosts.led(report.write)(run.work.path, result, run.work.history())
  return result


def _digest(config: Any) -> str:
  """SHA-256 of the settings that all processes must have alike."""
  alike = config.to_dict()
  # These may lie elsewhere on each host.
  del alike['hosts'], alike['cache_dir'], alike['data']['dir']
  text = json.dumps(alike, sort_keys=True, default=str)
  return hashlib.sha256(text.encode()).hexdigest()


def _check_alike(digest: str, what: str) -> None:
  """Checks that all processes have the same digest.

  Raises:
    InputError: they do not; `what` they do not, and the remedy.
  """
  # In pieces that an int32 holds.
  own = [int(digest[x : x + 7], 16) for x in range(0, len(digest), 7)]
  (apart,) = hosts.any_of(hosts.of_first(own, len(own)) != own)
  if apart:
    raise InputError(f'the processes of this run do not {what}')


@contextlib.contextmanager
def _alone(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
  """Holds a folder for the processes of this run, which must all see it."""
  with contextlib.ExitStack() as held:
    hosts.led(held.enter_context)(alone_in(folder, say))
    hosts.together(lambda: hosts.see(folder / '.lock'))
    yield


def _make_original(
  config: Any,
  workdir: Path,
  progress: Progress,
  load: Load,
  *,
  noted: Callable[[], bool],
) -> None:
  """Trains the original alone, where it is not there yet."""
  problem, work = prepare(config, load), Workdir(workdir)
  with alone_in(work.path, progress.say):
    stages = plan.stages(config, [], problem, work)
    run = Run(config, problem, work, stages, progress, noted)
    work.tidy()
    stages['original'].tidy()
    if not stages['original'].finished:
      run.check_stop('original has not begun')
      try:
        with mesh.within(problem.mesh):
          making.original(run)
      finally:
        stages['original'].settle()


def _run_cell(
  config: Any,
  workdir: Path,
  progress: Progress,
  load: Load,
  *,
  noted: Callable[[], bool],
) -> dict[str, Any]:
  """A run in which a row that fails does not stop the others."""
  return _run(config, workdir, progress, load, noted=noted, go_on=True)
