"""A matrix of runs: the cells of `config.matrix`, each in its own workdir."""

import copy
import functools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from jaxunlearn import probing, report, rows, settings
from jaxunlearn.data import sources
from jaxunlearn.errors import Diverged, InputError
from jaxunlearn.problem import Load
from jaxunlearn.progress import Progress
from jaxunlearn.workdir import Workdir, replace

__all__ = ['cells', 'run']

RunCell = Callable[[Any, Path, Progress, Load], dict[str, Any]]


def run(
  config: Any, workdir: str | Path, progress: Progress, run_cell: RunCell
) -> dict[str, Any]:
  """Runs every cell that is not finished, then draws what they gave together.

  Cells of the same data, network and training share one original: the first
  trains it. A cell that fails says why in failed.json and stops no other.

  Args:
    config: a ConfigDict whose `matrix` is {cell: {section: {key: value}}},
      what the cell changes in the rest of the config.
    workdir: a directory, made where it is missing.
    progress: where to say what happens.
    run_cell: (config, workdir, progress, load) -> report.

  Returns:
    {cell: report}, None for one that failed.

  Raises:
    InputError: a mistake in the config, before anything is trained, or a
      finished cell that was made with other settings.
  """
  work = Workdir(workdir)
  planned = cells(config, work.path / 'cells')
  work.write_config(config.to_dict())
  # The cells are of one data set or two, which take a while to read.
  load = functools.lru_cache(maxsize=1)(sources.load)
  reports = {}
  for number, (name, own) in enumerate(planned.items(), start=1):
    folder = work.path / 'cells' / name
    reports[name] = _finished(folder, own)
    if reports[name] is None:
      progress.say(f'cell {number} of {len(planned)}: {name}')
      reports[name] = _attempt(own, folder, progress, load, run_cell)
      report.write_matrix(work.path)
    else:
      progress.say(f'cell {number} of {len(planned)}: {name}, done before')
  report.write_matrix(work.path)
  return reports


def cells(config: Any, folder: Path) -> dict[str, Any]:
  """The config of each cell, checked.

  Args:
    config: as for `run`.
    folder: where the cells lie.

  Raises:
    InputError: names the cell and the mistake.
  """
  found, owners = {}, {}
  for name, changes in config.matrix.items():
    if not re.fullmatch(r'[A-Za-z0-9_+=.-]{1,80}', name) or name[0] == '.':
      raise InputError(
        f'{name[:80]!r} cannot be the name of a cell: use letters, digits and '
        '_+=.- only.'
      )
    own = _without_matrix(config)
    try:
      own.update(changes)
      settings.check(own)
      probing.check(own)
      rows.rows(own)
    except (InputError, KeyError, AttributeError, TypeError) as error:
      sentence = ' '.join(str(error).split())
      raise InputError(f'matrix.{name}: {sentence}') from error
    if not own.original.checkpoint:
      owner = owners.setdefault(_origin(own), folder / name)
      if owner != folder / name:
        own.original.checkpoint = str(owner)
    found[name] = own
  return found


def _without_matrix(config: Any) -> Any:
  own = copy.deepcopy(config)
  with own.unlocked():
    own.matrix, own.paper = {}, ()
    # A copy forgets that the rows have an order.
    own.recipes = ConfigDict(config.recipes.to_dict(), sort_keys=False)
  return own


def _origin(config: Any) -> str:
  """All that an original is made from."""
  parts = {k: config[k].to_dict() for k in ('data', 'model', 'train')}
  if config.forget.kind == 'mislabelled':
    parts['forget'] = config.forget.to_dict()
  return json.dumps(parts, sort_keys=True)


def _finished(folder: Path, config: Any) -> Mapping[str, Any] | None:
  """The report of a cell that was finished with this very config."""
  wanted = json.loads(json.dumps(config.to_dict()))
  try:
    made = json.loads((folder / 'report.json').read_text('utf-8'))
  except (OSError, ValueError):
    return None
  return made if made.get('config') == wanted else None


def _attempt(
  config: Any,
  folder: Path,
  progress: Progress,
  load: Load,
  run_cell: RunCell,
) -> dict[str, Any] | None:
  failed = folder / 'failed.json'
  failed.unlink(missing_ok=True)
  try:
    return run_cell(config, folder, progress, load)
  except (Diverged, jax.errors.JaxRuntimeError) as error:
    (reason, *_) = str(error).splitlines() or [type(error).__name__]
    folder.mkdir(parents=True, exist_ok=True)
    replace(failed, json.dumps({'failed': reason}) + '\n')
    progress.end()
    progress.say(f'{folder.name}: failed, {reason}')
    return None
