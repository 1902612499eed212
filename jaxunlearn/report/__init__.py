"""What a run leaves for its reader: report.json, report.md and figures."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxunlearn.report import figures, schema, tables

__all__ = ['write']


def write(
  folder: str | Path, report: Mapping, history: Sequence[Mapping]
) -> None:
  """Writes report.json, report.md and figures/*.png, each whole or not at all.

  Args:
    folder: the workdir; made when it is missing.
    report: schema 1.
    history: the lines of metrics.jsonl.

  Raises:
    ValueError: the report is not of schema 1; nothing is written then.
  """
  schema.validate(report)
  folder = Path(folder)
  names = figures.draw(report, history, folder / 'figures')
  text = tables.markdown(report, [f'figures/{name}' for name in names])
  _replace(folder / 'report.md', text)
  strict = json.dumps(report, allow_nan=False, ensure_ascii=False, indent=1)
  # Last, so that where report.json is, the rest is.
  _replace(folder / 'report.json', strict + '\n')


def _replace(path: Path, text: str) -> None:
  partial = path.with_name(f'.{path.name}.partial')
  partial.write_text(text, encoding='utf-8')
  os.replace(partial, path)
