"""A report as a table: for the terminal, and for report.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from jaxunlearn.report import definitions
from jaxunlearn.report.definitions import percent as _percent
from jaxunlearn.report.grids import escape as _escape
from jaxunlearn.report.words import remarks

if TYPE_CHECKING:
  import rich.table

__all__ = ['console', 'headers', 'markdown', 'rows']

_NONE = '–'


def _seconds(value: float) -> str:
  return f'{value:.2f}' if value < 100 else f'{value:.0f}'


def _short_count(value: int) -> str:
  """At most six characters: 45, 558.7k, 11.17M."""
  for unit, size in (('G', 1e9), ('M', 1e6), ('k', 1e3)):
    if value >= size:
      return f'{value / size:.4g}{unit}'
  return str(value)


# Least important first: what a narrow terminal goes without.
_DROPPED = ('MRR', 'leaves', 'epochs', 'gap', 'simil.', 'scalars', 'accel')

# Heading, heading on the terminal, where the value lies, how it is written,
# and how on the terminal. A heading without a short form is not shown there.
_COLUMNS: tuple[tuple[str, str, str, Callable, Callable], ...] = (
  ('acc forget', 'forget', 'accuracy.forget', _percent, _percent),
  ('acc retain', 'retain', 'accuracy.retain', _percent, _percent),
  ('acc test', 'test', 'accuracy.test', _percent, _percent),
  ('FR', 'FR', 'forgetting_rate', _percent, _percent),
  ('MRR', 'MRR', 'memory_retention_rate', _percent, _percent),
  ('similarity', 'simil.', 'similarity', _percent, _percent),
  ('gap to retrained', 'gap', 'gap_to_retrained.mean', _percent, _percent),
  ('scalars', 'scalars', 'selected.scalars', '{:,}'.format, _short_count),
  ('leaves', 'leaves', 'selected.leaves', '{:,}'.format, _short_count),
  ('epochs', 'epochs', 'epochs', '{:g}'.format, '{:g}'.format),
  ('seconds', 'sec', 'seconds.total', _seconds, _seconds),
  ('compile', '', 'seconds.compile', _seconds, _seconds),
  ('acceleration', 'accel', 'acceleration', '{:.2f}×'.format, '{:.1f}×'.format),
)

headers: list[str] = ['model', *(column[0] for column in _COLUMNS)]
"""The paper's columns; accuracies, rates and gaps in per cent, times in s."""


def rows(report: Mapping) -> list[list[str]]:
  """The cells under `headers`, one list a model; '–' is not measured."""
  return [
    [name, *(_cell(values, where, how) for _, _, where, how, _ in _COLUMNS)]
    for name, values in report['models'].items()
  ]


def console(report: Mapping, width: int = 100) -> rich.table.Table:
  """The table for a terminal, with the counts shortened.

  Names of models stay whole, up to half the width; where there is no room,
  columns are left out, the least important first, and the caption names them.

  Args:
    report: schema 1, validated.
    width: columns of the terminal.
  """
  import rich.box
  import rich.table
  import rich.text

  request, models = report['request'], report['models']
  shown = {
    short: [short, *(_cell(values, where, how) for values in models.values())]
    for _, short, where, _, how in _COLUMNS
    if short
  }
  names = ['model', *models]
  left_out = []
  name_width = min(_widest(names), width // 2)
  for short in _DROPPED:
    if name_width + sum(1 + _widest(c) for c in shown.values()) <= width:
      break
    del shown[short]
    left_out.append(short)
  caption = 'rates and gaps in per cent, seconds without compiling'
  if left_out:
    caption += f'\nno room for {", ".join(left_out)}'
  table = rich.table.Table(
    title=rich.text.Text(
      f'{request["dataset"]}: {request["num_forget"]:,} of '
      f'{request["num_train"]:,} training examples to be forgotten'
    ),
    caption=caption,
    box=rich.box.SIMPLE_HEAD,
    show_edge=False,
    padding=0,
    title_justify='left',
    caption_justify='left',
  )
  table.add_column('model', overflow='fold', min_width=name_width)
  for short in shown:
    table.add_column(short, justify='right', no_wrap=True)
  cells = zip(names, *shown.values(), strict=True)
  next(cells)  # The headings.
  for name, *values in cells:
    table.add_row(rich.text.Text(name), *values)
  return table


def markdown(report: Mapping, figures: list[str]) -> str:
  """The whole of report.md.

  Args:
    report: schema 1, validated.
    figures: paths of the images, relative to report.md.
  """
  request, source = report['request'], report['original']['from']
  facts = {
    'data': request['dataset'],
    'training examples': f'{request["num_train"]:,}',
    'to be forgotten': f'{request["num_forget"]:,} '
    f'({100 * request["forget_fraction"]:.2f} %)',
    'test examples': request.get('num_test'),
    'kind of request': report['config'].get('forget', {}).get('kind'),
    'seed': request['seed'],
    'original': 'trained in this run' if source == 'trained' else source,
    'reference': report['reference'],
    'sha256 of the data': request['dataset_sha256'],
    'sha256 of the request': request['forget_sha256'],
  }
  models = report['models'].items()
  settings = {
    name: _inline(row['settings']) for name, row in models if row['settings']
  }
  probes = dict.fromkeys(probe for _, row in models for probe in row['probes'])
  sections = [
    '# Unlearning report',
    _pairs(facts),
    '## Results',
    'Accuracies, rates and gaps in per cent, times in seconds; – is not '
    'measured.',
    _grid(headers, rows(report)),
    '## Remarks',
    '\n'.join(f'- {_escape(sentence)}' for sentence in remarks(report)),
    *(
      ['## Probes', *(_probe(report, probe) for probe in probes)]
      if probes
      else []
    ),
    '## Settings',
    _pairs(settings),
    '## Environment',
    _pairs(report['environment']),
    '## Figures',
    '\n\n'.join(f'![{_escape(_title(path))}](<{path}>)' for path in figures)
    or 'None.',
    '## How the columns are defined',
    '\n'.join(f'- {line}' for line in definitions.sentences(report)),
  ]
  return '\n\n'.join(sections) + '\n'


def _widest(cells: list[str]) -> int:
  return max(map(len, cells))


def _cell(values: Mapping, where: str, how: Callable[[Any], str]) -> str:
  """The value at a dotted path, written; '–' where any part is None."""
  value: Any = values
  for name in where.split('.'):
    if value is None:
      break
    value = value[name]
  return _NONE if value is None else how(value)


def _grid(names: list[str], lines: list[list[str]]) -> str:
  rule = ['---', *['---:'] * (len(names) - 1)]
  body = [[_escape(cell) for cell in line] for line in lines]
  return '\n'.join(f'| {" | ".join(line)} |' for line in [names, rule, *body])


def _probe(report: Mapping, probe: str) -> str:
  """What a probe found, a line a model; single values only."""
  found = {
    name: row['probes'][probe]
    for name, row in report['models'].items()
    if probe in row['probes']
  }
  names = dict.fromkeys(
    name
    for values in found.values()
    for name, value in values.items()
    if not isinstance(value, Mapping | list | tuple)
  )
  lines = [
    [model, *(_plain(probe, name, values.get(name)) for name in names)]
    for model, values in found.items()
  ]
  return _grid([_escape(probe), *map(_escape, names)], lines)


def _plain(probe: str, name: str, value: Any) -> str:
  if value is None:
    return _NONE
  how, _ = definitions.PROBES.get(probe, {}).get(name, ('{:.4g}'.format, ''))
  return how(value) if isinstance(value, float) else str(value)


def _inline(items: Mapping[str, Any]) -> str:
  """Single values only: a curve is for report.json."""
  return ', '.join(
    f'{key} = {item}'
    for key, item in items.items()
    if not isinstance(item, Mapping | list | tuple)
  )


def _pairs(items: Mapping[str, Any]) -> str:
  """A list of names and values; what is None is left out."""
  return '\n'.join(
    f'- {_escape(str(name))}: {_escape(str(value))}'
    for name, value in items.items()
    if value is not None
  )


def _title(path: str) -> str:
  return path.rsplit('/', 1)[-1].removesuffix('.png')
