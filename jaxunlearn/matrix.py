"""A matrix of runs: the cells of `config.matrix`, each in its own workdir."""

import copy
import functools
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from jaxunlearn import files, nested, plan, probing, report, rows, settings
from jaxunlearn.data import sources
from jaxunlearn.errors import (
  Conflict,
  Diverged,
  InputError,
  Interrupted,
  Unavailable,
)
from jaxunlearn.locks import alone_in
from jaxunlearn.problem import Load, prepare
from jaxunlearn.progress import Progress
from jaxunlearn.workdir import Workdir

__all__ = ['cells', 'run']

Make = Callable[[Any, Path, Progress, Load], Any]
# Of data: where they lie, which says nothing of what they are.
_WHERE = ('dir', 'stream')
_ORIGINALS = 'originals'


def run(
  config: Any,
  workdir: str | Path,
  progress: Progress,
  make_original: Make,
  run_cell: Make,
) -> dict[str, Any]:
  """Runs every cell that is not finished, then draws what they gave together.

  Cells of the same data, network and training share one original, which lies
  in originals/. A cell that fails says why in failed.json and stops no other.
  Another config in the same workdir finds what cells of its names hold. Each
  is kept in configs/, by what it draws, and has its section of the report; one
  that draws the same takes its place.

  Args:
    config: a ConfigDict whose `matrix` is {cell: {section: {key: value}}},
      what the cell changes in the rest of the config.
    workdir: a directory, made where it is missing.
    progress: where to say what happens.
    make_original: (config, workdir, progress, load), where it is not there yet.
    run_cell: (config, workdir, progress, load) -> report.

  Returns:
    {cell: report}, None for one that failed.

  Raises:
    InputError: a mistake in the config or the workdir.
    Conflict: a cell was made with other settings. Both before anything is
      trained or written.
  """
  work = Workdir(workdir)
  with alone_in(work.path, progress.say):
    return _run(config, work, progress, make_original, run_cell)


def _run(
  config: Any, work: Workdir, progress: Progress, make: Make, run_cell: Make
) -> dict[str, Any]:
  if (work.path / 'original').exists():
    raise InputError(
      f'{work.path} holds a run that is no matrix: choose another --workdir.'
    )
  planned = cells(config)
  folders = {name: work.path / 'cells' / name for name in planned}
  # The cells are of one data set or two, which take a while to read.
  load = functools.lru_cache(maxsize=1)(sources.load)
  report.check_paper(config.paper)
  report.check_cells({name: own.to_dict() for name, own in planned.items()})
  for name, own in planned.items():
    if _finished(folders[name], own) is None:
      _try(name, lambda own=own: prepare(own, load))
      _check_made(own, work.path / _ORIGINALS, folders[name], load)
  report.check_kept(work.path, config.paper)
  work.tidy()
  work.write_config(config.to_dict())
  if config.paper:
    path = work.path / report.kept_as(config.paper)
    path.parent.mkdir(exist_ok=True)
    files.write_json(path, config.to_dict())
  reports, broken = {}, {}
  for number, (name, own) in enumerate(planned.items(), start=1):
    failed = folders[name] / 'failed.json'
    failed.unlink(missing_ok=True)
    reports[name] = _finished(folders[name], own)
    if reports[name] is not None:
      progress.say(f'cell {number} of {len(planned)}: {name}, done before')
      continue
    progress.say(f'cell {number} of {len(planned)}: {name}')
    try:
      if not own.original.checkpoint:
        alone, original = _shared(own, work.path / _ORIGINALS)
        _check_there(original, folders[name])
        _make_once(alone, original, broken, make, progress, load)
        own = _with_original(own, original)
      reports[name] = run_cell(own, folders[name], progress, load)
    except (Conflict, Unavailable):
      raise
    except Interrupted as error:
      raise Interrupted(f'{name}: {error}') from error
    except (InputError, MemoryError, jax.errors.JaxRuntimeError) as error:
      (reason, *_) = str(error).splitlines() or [type(error).__name__]
      failed.parent.mkdir(parents=True, exist_ok=True)
      files.write_json(failed, {'failed': reason})
      progress.end()
      progress.say(f'{name}: failed, {reason}')
    report.write_matrix(work.path)
  report.write_matrix(work.path)
  if not config.original.keep and None not in reports.values():
    shared = (_shared(own, work.path / _ORIGINALS) for own in planned.values())
    # Those of other configs are not this one's to remove.
    for folder in {folder for _, folder in shared if folder.exists()}:
      original = Workdir(folder).stage('original', {})
      if original.path.exists():
        original.forget({})
      Workdir(folder).sweep(())
  return reports


def cells(config: Any) -> dict[str, Any]:
  """The config of each cell, checked.

  Raises:
    InputError: names the cell and the mistake.
  """
  found = {}
  for name, changes in config.matrix.items():
    if not re.fullmatch(r'[A-Za-z0-9_+=.-]{1,80}', name) or name[0] == '.':
      raise InputError(
        f'{name[:80]!r} cannot be the name of a cell: use letters, digits and '
        '_+=.- only.'
      )
    own = _without_matrix(config)
    _try(name, lambda own=own, changes=changes: own.update(changes))
    for check in (settings.check, probing.check, rows.rows):
      _try(name, lambda own=own, check=check: check(own))
    found[name] = own
  return found


def _try(name: str, part: Callable[[], Any]) -> None:
  """Names the cell in which a mistake is."""
  try:
    part()
  except (InputError, KeyError, AttributeError, TypeError) as error:
    sentence = ' '.join(str(error).split())
    raise InputError(f'matrix.{name}: {sentence}') from error


def _without_matrix(config: Any) -> Any:
  own = copy.deepcopy(config)
  with own.unlocked():
    own.matrix, own.paper = {}, ()
    # A copy forgets that the rows have an order.
    own.recipes = ConfigDict(config.recipes.to_dict(), sort_keys=False)
  return own


def _shared(config: Any, folder: Path) -> tuple[Any, Path]:
  """The config that makes a cell's original, and where that lies."""
  alone = copy.deepcopy(config)
  alone.reference = 'none'
  if config.forget.kind != 'mislabelled':
    # An original depends on no request, so that one serves all.
    alone.forget.update(
      {'kind': 'random', 'fraction': 0.1, 'classes': (), 'path': '', 'seed': 0}
    )
  parts = {k: alone[k].to_dict() for k in ('data', 'model', 'train', 'forget')}
  for key in _WHERE:
    del parts['data'][key]
  digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
  return alone, folder / f'{config.model.name}-{digest.hexdigest()[:8]}'


def _check_there(original: Path, cell: Path) -> None:
  """Checks that a cell that has not begun has an original to begin from.

  Raises:
    InputError: an earlier start has removed the model at its end.
  """
  begun, shared = (Workdir(x).stage('original', {}) for x in (cell, original))
  if shared.path.exists() and not (shared.holds_model or begun.holds_model):
    raise InputError(
      f'the original in {original} was removed at the end of an earlier start '
      '(config.original.keep was False): remove that folder, and it is trained '
      'again.'
    )


def _make_once(
  alone: Any,
  original: Path,
  broken: dict[str, str],
  make: Make,
  progress: Progress,
  load: Load,
) -> None:
  """Makes an original where it is missing; one that diverged is in `broken`."""
  if original.name in broken:
    raise Diverged(broken[original.name])
  try:
    make(alone, original, progress, load)
  except Diverged as error:
    broken[original.name] = str(error)
    raise


def _with_original(config: Any, original: Path) -> Any:
  """The config of a cell, with the original that it shares."""
  own = copy.deepcopy(config)
  own.original.checkpoint = str(original)
  own.recipes = ConfigDict(config.recipes.to_dict(), sort_keys=False)
  return own


def _check_made(config: Any, originals: Path, folder: Path, load: Load) -> None:
  """Checks that nothing of an unfinished cell was made in another way.

  Raises:
    Conflict: names the first setting.
  """
  if not (folder / 'config.json').exists():
    return
  made = files.read_json(folder / 'config.json')
  wanted = json.loads(json.dumps(config.to_dict()))
  for section in ('data', 'model', 'train', 'forget'):
    old, new = (nested.flat({section: c[section]}) for c in (made, wanted))
    for key in nested.changed(old, new):
      if key.removeprefix('data.') not in _WHERE:
        raise Conflict(
          f'{key} is {new.get(key)}, but {folder} was made with '
          f'{old.get(key)}: choose another --workdir, or remove that folder.'
        )
  if not config.original.checkpoint:
    _, original = _shared(config, originals)
    if not original.exists():
      return
    config = _with_original(config, original)
  problem, wanted = prepare(config, load), rows.rows(config)
  for stage in plan.stages(config, wanted, problem, Workdir(folder)).values():
    stage.check()
  probing.check_made(config, folder)


def _that_counts(config: Mapping[str, Any]) -> dict[str, Any]:
  """Without what changes nothing of what comes out, but for rounding."""
  others = ('cache_dir', 'save', 'mesh', 'hosts')
  kept = {k: v for k, v in config.items() if k not in others}
  if isinstance(kept.get('data'), Mapping):
    kept['data'] = {k: v for k, v in kept['data'].items() if k != 'stream'}
  return kept


def _finished(folder: Path, config: Any) -> Mapping[str, Any] | None:
  """The report of a cell, if all that it is made of is there."""
  if not (folder / 'report.json').is_file():
    return None
  made = files.read_json(folder / 'report.json')
  if not isinstance(made.get('config', {}), Mapping):
    raise files.damaged(folder / 'report.json')
  wanted = json.loads(json.dumps(config.to_dict()))
  known, wanted = map(_that_counts, (made.get('config', {}), wanted))
  checkpoint = known.get('original', {}).get('checkpoint', '')
  own = wanted['original']['checkpoint']
  if not own and Path(checkpoint).parent.name == _ORIGINALS:
    wanted['original']['checkpoint'] = checkpoint
  parts = ['original', *(f'unlearned/{row}' for row in config.recipes)]
  if config.reference == 'retrain':
    parts.append('retrained')
  results = [folder / part / 'result.json' for part in parts]
  if nested.changed(nested.flat(known), nested.flat(wanted)):
    return None
  if not all(x.is_file() for x in results):
    return None
  if any(files.read_json(x, x.parent).get('again') for x in results):
    return None
  return made if probing.answered(made, folder) else None
