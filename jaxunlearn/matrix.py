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

from jaxunlearn import files, nested, probing, report, rows, settings
from jaxunlearn.data import sources
from jaxunlearn.errors import Conflict, Diverged, InputError
from jaxunlearn.problem import Load, prepare
from jaxunlearn.progress import Progress
from jaxunlearn.workdir import Stage, Workdir

__all__ = ['cells', 'run']

Make = Callable[[Any, Path, Progress, Load], Any]
_ORIGINALS = 'originals'


def run(
  config: Any,
  workdir: str | Path,
  progress: Progress,
  make_original: Make,
  run_cell: Make,
) -> dict[str, Any]:
  """Runs every cell that is not finished, then draws what they gave together.

  Cells, tables and figures of an earlier matrix in this workdir stay.
  Cells of the same data, network and training share one original, which lies
  in originals/. A cell that fails says why in failed.json and stops no other.

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
    InputError: a mistake in the config, before anything is trained.
    Conflict: a cell was made with other settings.
  """
  work = Workdir(workdir)
  planned = cells(config)
  # The cells are of one data set or two, which take a while to read.
  load = functools.lru_cache(maxsize=1)(sources.load)
  report.check_paper(config.paper)
  for name, own in planned.items():
    folder = work.path / 'cells' / name
    if _finished(folder, own) is None:
      _check_same(folder, own)
      _try(name, lambda own=own: prepare(own, load))
  work.write_config(_with_earlier(work.path, config))
  reports, broken = {}, {}
  for number, (name, own) in enumerate(planned.items(), start=1):
    folder = work.path / 'cells' / name
    failed = folder / 'failed.json'
    failed.unlink(missing_ok=True)
    reports[name] = _finished(folder, own)
    if reports[name] is not None:
      progress.say(f'cell {number} of {len(planned)}: {name}, done before')
      continue
    progress.say(f'cell {number} of {len(planned)}: {name}')
    try:
      own = _with_original(
        own, work.path / _ORIGINALS, broken, make_original, progress, load
      )
      reports[name] = run_cell(own, folder, progress, load)
    except Conflict:
      raise
    except (InputError, jax.errors.JaxRuntimeError) as error:
      (reason, *_) = str(error).splitlines() or [type(error).__name__]
      folder.mkdir(parents=True, exist_ok=True)
      files.write_json(failed, {'failed': reason})
      progress.end()
      progress.say(f'{name}: failed, {reason}')
    report.write_matrix(work.path)
  report.write_matrix(work.path)
  if not config.original.keep and None not in reports.values():
    for path in (work.path / _ORIGINALS).glob('*/original'):
      Stage(path, {}).forget({})
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


def _with_earlier(folder: Path, config: Any) -> dict[str, Any]:
  """The config, with what an earlier matrix of the workdir left besides."""
  wanted, path = config.to_dict(), folder / 'config.json'
  earlier = files.read_json(path) if path.exists() else {}
  if not earlier.get('matrix'):
    return wanted
  cells = {
    name: own
    for name, own in earlier['matrix'].items()
    if (folder / 'cells' / name / 'report.json').is_file()
  }
  drawn = dict.fromkeys((*earlier['paper'], *wanted['paper']))
  return wanted | {'matrix': cells | wanted['matrix'], 'paper': tuple(drawn)}


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


def _with_original(
  config: Any,
  folder: Path,
  broken: dict[str, str],
  make: Make,
  progress: Progress,
  load: Load,
) -> Any:
  """The config of a cell, with the original that it shares, made if need be."""
  if config.original.checkpoint:
    return config
  alone = copy.deepcopy(config)
  alone.reference = 'none'
  if config.forget.kind != 'mislabelled':
    # An original depends on no request, so that one serves all.
    alone.forget.update(
      {'kind': 'random', 'fraction': 0.1, 'classes': (), 'path': '', 'seed': 0}
    )
  parts = {k: alone[k].to_dict() for k in ('data', 'model', 'train', 'forget')}
  del parts['data']['dir']
  digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
  name = f'{config.model.name}-{digest.hexdigest()[:8]}'
  if name in broken:
    raise Diverged(broken[name])
  try:
    make(alone, folder / name, progress, load)
  except Diverged as error:
    broken[name] = str(error)
    raise
  own = copy.deepcopy(config)
  own.original.checkpoint = str(folder / name)
  own.recipes = ConfigDict(config.recipes.to_dict(), sort_keys=False)
  return own


def _check_same(folder: Path, config: Any) -> None:
  """Checks that a cell was begun with the same problem and training."""
  try:
    made = json.loads((folder / 'config.json').read_text('utf-8'))
  except (OSError, ValueError):
    return
  wanted = json.loads(json.dumps(config.to_dict()))
  for section in ('data', 'model', 'train', 'forget'):
    old, new = (nested.flat({section: c[section]}) for c in (made, wanted))
    for key in new:
      if key != 'data.dir' and old.get(key) != new[key]:
        raise Conflict(
          f'{key} is {new[key]}, but {folder} was made with {old.get(key)}: '
          'choose another --workdir, or remove that folder.'
        )


def _finished(folder: Path, config: Any) -> Mapping[str, Any] | None:
  """The report of a cell, if all that it is made of is there."""
  try:
    made = json.loads((folder / 'report.json').read_text('utf-8'))
    checkpoint = made['config']['original']['checkpoint']
  except (OSError, ValueError, KeyError, TypeError):
    return None
  wanted = json.loads(json.dumps(config.to_dict()))
  shared = Path(checkpoint).parent.name == _ORIGINALS
  if shared and not wanted['original']['checkpoint']:
    wanted['original']['checkpoint'] = checkpoint
  parts = ['original', *(f'unlearned/{row}' for row in config.recipes)]
  if config.reference == 'retrain':
    parts.append('retrained')
  results = [folder / part / 'result.json' for part in parts]
  whole = all(path.is_file() for path in results)
  if made['config'] != wanted or not whole:
    return None
  again = any(json.loads(p.read_text('utf-8')).get('again') for p in results)
  return None if again else made
