"""What a run leaves for its reader: report.json, report.md and figures."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxunlearn.errors import InputError
from jaxunlearn.files import check_folders, read_json, read_lines, replace
from jaxunlearn.locks import alone_in
from jaxunlearn.report import figures, schema, tables
from jaxunlearn.report.matrix import kept_as
from jaxunlearn.report.paper import (
  check_cells,
  check_kept,
  check_paper,
  write_matrix,
)

__all__ = [
  'check_cells',
  'check_kept',
  'check_paper',
  'kept_as',
  'redraw',
  'write',
  'write_matrix',
]


def write(
  folder: str | Path, report: Mapping, history: Sequence[Mapping]
) -> list[Path]:
  """Writes report.json, report.md and figures/*.png, each whole or not at all.

  Args:
    folder: the workdir; made when it is missing.
    report: schema 1.
    history: the lines of metrics.jsonl.

  Returns:
    The files.

  Raises:
    ValueError: the report is not of schema 1; nothing is written then.
  """
  schema.validate(report)
  folder = Path(folder)
  names = figures.draw(report, history, folder / 'figures')
  drawn = [f'figures/{name}' for name in names]
  replace(folder / 'report.md', tables.markdown(report, drawn))
  strict = json.dumps(report, allow_nan=False, ensure_ascii=False, indent=1)
  # Last, so that where report.json is, the rest is.
  replace(folder / 'report.json', strict + '\n')
  return [folder / name for name in (*drawn, 'report.md', 'report.json')]


def redraw(workdir: str | Path) -> list[Path]:
  """Writes again all that is drawn from results on disk; trains nothing.

  Args:
    workdir: of one run, or of one or several matrices of runs.

  Returns:
    The files.

  Raises:
    InputError: there is no such folder, no report in it, or a damaged file.
    Unavailable: a run is writing there.
  """
  folder = Path(workdir)
  if not folder.is_dir():
    raise InputError(
      f'{folder} is no folder: give the workdir of a run that has finished.'
    )
  check_folders(folder)
  with alone_in(folder, lambda left: None):
    return _redraw(folder)


def _redraw(folder: Path) -> list[Path]:
  config = folder / 'config.json'
  if config.exists() and read_json(config).get('matrix'):
    runs = sorted(folder.glob('cells/*/report.json'))
    return [f for run in runs for f in redraw(run.parent)] + write_matrix(
      folder
    )
  source = folder / 'report.json'
  if not source.exists():
    raise InputError(
      f'{folder} holds no report.json, and no matrix of runs: give the workdir '
      'of a run that has finished.'
    )
  report, history = read_json(source), read_lines(folder / 'metrics.jsonl')
  try:
    return write(folder, report, history)
  except ValueError as error:
    raise InputError(
      f'{source} is damaged ({error.args[0].rstrip(".")}): remove it and run '
      'the experiment again.'
    ) from error
