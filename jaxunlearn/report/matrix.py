"""A matrix of runs, read from the workdir that holds it."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxunlearn import files, nested
from jaxunlearn.errors import InputError
from jaxunlearn.report import schema
from jaxunlearn.report.cells import Cell, distinct

__all__ = ['Matrix', 'kept', 'kept_as', 'labels', 'read', 'read_all']

# Settings in which the runs of one mean may differ.
_SECTIONS = ('data', 'model', 'train', 'forget', 'unlearn')
_APART = ('seed', 'original.checkpoint', 'data.dir', 'data.stream')
# Of cells and rows: what may be part of a path.
_NAME = re.compile(r'[A-Za-z0-9_+=-][A-Za-z0-9_+=.-]{0,79}')


class Matrix(NamedTuple):
  """All runs of a matrix.

  Attributes:
    folder: the workdir.
    paper: the tables and figures that its config asks for.
    cells: models of runs, in the order of the matrix and of the recipes.
    states: {run: 'done', 'not run' or the sentence of its failure}.
  """

  folder: Path
  paper: tuple[str, ...]
  cells: tuple[Cell, ...]
  states: Mapping[str, str]


def kept_as(paper: Iterable[str]) -> str:
  """Where a workdir keeps the config that draws these, such as table1-table2.

  Args:
    paper: names of tables and figures, checked.
  """
  return f'configs/{"-".join(dict.fromkeys(paper))}.json'


def kept(workdir: str | Path, paper: Iterable[str]) -> list[Matrix]:
  """The matrices of the configs that a workdir keeps, without that of `paper`.

  Raises:
    InputError: as `read`.
  """
  folder = Path(workdir)
  paths = sorted({*folder.glob('configs/*.json')} - {folder / kept_as(paper)})
  return [read(folder, path) for path in paths]


def read_all(workdir: str | Path) -> list[Matrix]:
  """The matrices of all configs of a workdir, that of config.json as the last.

  Raises:
    InputError: as `read`.
  """
  last = read(workdir)
  return [*kept(workdir, last.paper), last]


def read(workdir: str | Path, path: Path | None = None) -> Matrix:
  """Reads a workdir that the matrix of a config has filled, as far as it has.

  Args:
    workdir: of the matrix.
    path: of the config; config.json by default.

  Raises:
    InputError: no matrix is there, a file of it is damaged, or two of its runs
      have the same settings and seeds.
  """
  folder = Path(workdir)
  path = path or folder / 'config.json'
  config = files.read_json(path)
  matrix = config.get('matrix')
  if not isinstance(matrix, Mapping) or not all(
    isinstance(x, Mapping) for x in matrix.values()
  ):
    raise InputError(f'{path} holds no matrix of runs.')
  paper = config.get('paper') or []
  shared = {k: v for k, v in config.items() if k not in ('matrix', 'paper')}
  configs = {name: nested.merge(shared, own) for name, own in matrix.items()}
  if not all(map(_is_config, configs.values())):
    raise files.damaged(path)
  flat = {name: nested.flat(x) for name, x in configs.items()}
  names = [*matrix, *(x for own in configs.values() for x in _recipes(own))]
  if (
    not all(map(_NAME.fullmatch, names))
    or not isinstance(paper, list)
    or not all(isinstance(name, str) for name in paper)
  ):
    raise files.damaged(path)
  networks = labels(flat)
  found = {
    name: _finished(folder / 'cells' / name, configs[name]) for name in matrix
  }
  cells = [
    cell
    for name in matrix
    for cell in _cells(
      folder / 'cells' / name,
      configs[name],
      networks[name],
      *found[name],
    )
  ]
  rows = distinct(cells, 'row')
  # Rows that a cell has alone come behind those of all.
  order = ['original', *_recipes(shared), *rows, 'retrained']
  rank = {row: order.index(row) for row in rows if row != 'retrained'}
  rank['retrained'] = len(order)
  # Stable, so that within a row the order is the matrix's.
  cells.sort(key=lambda cell: rank[cell.row])
  states = {name: state for name, (_, state) in found.items()}
  return Matrix(folder, tuple(paper), tuple(cells), states)


def _is_config(config: Mapping[str, Any]) -> bool:
  """Whether it has what is read of a config here, each of its kind."""
  sections = ('data', 'model', 'train', 'forget', 'unlearn', 'recipes')
  found = {name: config.get(name) or {} for name in sections}
  if not all(isinstance(section, Mapping) for section in found.values()):
    return False
  model, forget = found['model'], found['forget']
  return (
    all(isinstance(row, Mapping) for row in found['recipes'].values())
    and isinstance(model.get('name'), str)
    and isinstance(forget.get('kind'), str)
    and isinstance(forget.get('fraction'), int | float)
  )


def _recipes(config: Mapping[str, Any]) -> Mapping[str, Any]:
  return config.get('recipes') or {}


def _finished(
  folder: Path, config: Mapping[str, Any]
) -> tuple[dict[str, Any] | None, str]:
  """The report of a run, if there is one, and the run's state."""
  state = 'done'
  if (folder / 'failed.json').exists():
    failed = files.read_json(folder / 'failed.json').get('failed')
    state = str(failed or 'it does not say why')
  if (folder / 'report.json').exists():
    report = files.read_json(folder / 'report.json')
    try:
      schema.validate(report)
    except ValueError as error:
      raise InputError(
        f'{folder / "report.json"} is damaged ({error.args[0].rstrip(".")}): '
        'remove it and run the experiment again.'
      ) from error
    for section in _SECTIONS:
      made, asked = (_known(x, section) for x in (report['config'], config))
      if nested.changed(made, asked):
        return None, f'it was made with another {section} than now asked'
    # What an earlier start finished stays, though the last one failed.
    return report, state
  return None, 'not run' if state == 'done' else state


def _known(config: Mapping[str, Any], section: str) -> dict[str, Any]:
  settings = nested.flat(config.get(section) or {})
  return {k: v for k, v in settings.items() if k not in ('dir', 'stream')}


def _cells(
  folder: Path,
  config: Mapping[str, Any],
  network: str,
  report: Mapping[str, Any] | None,
  state: str,
) -> list[Cell]:
  """The models of one run that its config names, made or not."""
  # Of a run that is not finished another process may write a line just now.
  lines = files.read_lines(folder / 'metrics.jsonl') if report else []
  recipes = _recipes(config)
  wanted = ['original', *recipes]
  if config.get('reference') == 'retrain':
    wanted.append('retrained')
  models = {
    row: (report or {'models': {}})['models'].get(row) for row in wanted
  }
  seeds = _seeds(config)
  fixed = {'original': 'original', 'retrained': 'retrain'}
  found = []
  for row, values in models.items():
    planned = recipes.get(row) or {}
    found.append(
      Cell(
        network=network,
        width=config['model'].get('width'),
        fraction=_fraction(config['forget'], report),
        seed=seeds[0] if len(set(seeds)) == 1 else '/'.join(seeds),
        row=row,
        recipe=(values or {}).get('recipe')
        or fixed.get(row)
        or planned.get('name', ''),
        settings=(values or {}).get('settings') or planned,
        values=values,
        history=tuple(x for x in lines if x['model'] == row),
        folder=folder,
        failed=(values or {}).get('failed')
        or (None if values or state in ('done', 'not run') else state),
        report=report,
      )
    )
  return found


def _fraction(
  forget: Mapping[str, Any], report: Mapping[str, Any] | None
) -> float | None:
  """The ratio that was asked for, or what a request came to."""
  if forget['kind'] in ('random', 'mislabelled'):
    return forget['fraction']
  return report and report['request']['forget_fraction']


def _seeds(config: Mapping[str, Any]) -> list[str]:
  sections = (config.get(x) or {} for x in ('forget', 'train', 'unlearn'))
  return [str(section['seed']) for section in sections if 'seed' in section]


def labels(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
  """The networks' names, with what else differs between runs of one ratio.

  Otherwise a mean over seeds would mix, say, two widths.

  Args:
    configs: {run: {setting's full name: value}}.

  Raises:
    InputError: two runs differ in nothing.
  """
  found = {}
  for name, config in configs.items():
    label = config['model.name']
    if config['forget.kind'] != 'random':
      label += f', {config["forget.kind"]}'
    for other, theirs in configs.items():
      if other == name or any(
        theirs[key] != config[key] for key in ('model.name', 'forget.fraction')
      ):
        continue
      differ = [k for k in config if k in theirs and config[k] != theirs[k]]
      if not differ and config.keys() == theirs.keys():
        raise InputError(
          f'the runs {other} and {name} of the matrix differ in nothing: give '
          'each its own forget.seed and train.seed.'
        )
      for key in differ:
        part = f', {_brief(key, differ)} {_plain(config[key])}'
        said = key == 'forget.kind' or part in label or config[key] == []
        if not key.endswith(_APART) and not said:
          label += part
    found[name] = label
  return found


def _brief(key: str, among: list[str]) -> str:
  """The last part of a setting's name, where that tells which it is."""
  last = key.rpartition('.')[2]
  alike = [other for other in among if other.rpartition('.')[2] == last]
  return key if len(alike) > 1 else last


def _plain(value: Any) -> str:
  """A value; a list without its brackets."""
  return ' '.join(map(str, value)) if isinstance(value, list) else str(value)
