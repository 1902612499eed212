"""A whole run, or a matrix of runs: from a config to a report."""

from pathlib import Path
from typing import Any

import jax

from jaxunlearn import (
  compile_cache,
  making,
  matrix,
  plan,
  probing,
  report,
  rows,
  settings,
  summary,
)
from jaxunlearn.data import sources
from jaxunlearn.errors import Diverged, Impossible, InputError
from jaxunlearn.problem import Load, Run, prepare
from jaxunlearn.progress import Progress
from jaxunlearn.workdir import Workdir

__all__ = ['run']


def run(
  config: Any, workdir: str | Path, progress: Progress | None = None
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

  Returns:
    The report, schema 1; of a matrix {cell: report}, None for one that failed.

  Raises:
    InputError: a mistake in the config, the data, the request, the checkpoint
      or the workdir; training that diverged.
  """
  progress = progress or Progress()
  if config.matrix:
    return matrix.run(config, workdir, progress, _make_original, _run_cell)
  return _run(config, workdir, progress)


def _run(
  config: Any,
  workdir: str | Path,
  progress: Progress,
  load: Load = sources.load,
  go_on: bool = False,
) -> dict[str, Any]:
  settings.check(config)
  probing.check(config)
  wanted = rows.rows(config)
  problem = prepare(config, load)
  work = Workdir(workdir)
  if (work.path / 'cells').exists():
    raise InputError(
      f'{work.path} holds a matrix of runs: choose another --workdir.'
    )
  stages = plan.stages(config, wanted, problem, work)
  this = Run(config, problem, work, stages, progress)
  for stage in stages.values():
    stage.retry()
  probing.check_made(config, work.path)
  done = [name for name, stage in stages.items() if stage.finished]
  missing = [row for row in wanted if row.name not in done]
  for row in () if go_on else missing:
    plan.rehearse(row, problem)
  work.write_config(config.to_dict())
  for name in done:
    progress.say(f'{name}: done before')

  if 'original' not in done:
    making.original(this)
  plan.check_origin(stages)
  if 'retrained' in stages and 'retrained' not in done:
    making.retrained(this)
  for row in missing:
    compile_cache.make_room()
    try:
      plan.rehearse(row, problem)
      making.row(this, row)
    except (Diverged, Impossible, jax.errors.JaxRuntimeError) as error:
      if not go_on:
        raise
      making.failed(this, row, error)
  probes = probing.ask(this)

  result = summary.assemble(config, problem, stages, probes)
  if not config.original.keep:
    likeness = result['models']['original']['similarity']
    stages['original'].forget({'similarity': likeness})
  report.write(work.path, result, work.history())
  return result


def _make_original(
  config: Any, workdir: Path, progress: Progress, load: Load
) -> None:
  """Trains the original alone, where it is not there yet."""
  problem, work = prepare(config, load), Workdir(workdir)
  stages = plan.stages(config, [], problem, work)
  if not stages['original'].finished:
    making.original(Run(config, problem, work, stages, progress))


def _run_cell(
  config: Any, workdir: Path, progress: Progress, load: Load
) -> dict[str, Any]:
  """A run in which a row that fails does not stop the others."""
  return _run(config, workdir, progress, load, go_on=True)
