"""Prints results as a table: python -m benchmarks.table RESULTS.json."""

import json
import sys
from pathlib import Path
from typing import Any

_PREFIXES = ((1e9, 'G'), (1e6, 'M'))
_HEAD = ('case', 'here', 'against', 'there', 'ratio', 'n', 'target', 'floor')


def main(source: str) -> None:
  """One table of Markdown for all results of a file."""
  print(table(json.loads(Path(source).read_text())['results']))


def table(results: list[dict[str, Any]]) -> str:
  """One line a result: medians, and the ratios' median and range."""
  lines = [_HEAD, ('---', '---:', '---', '---:', '---:', '---:', '---', '---:')]
  lines += [_cells(result) for result in results]
  return '\n'.join(f'| {" | ".join(cells)} |' for cells in lines)


def _cells(found: dict[str, Any]) -> tuple[str, ...]:
  unit, median, ratios = found['unit'], found['median'], found['ratios']
  ratio = f'{found["ratio"]:.2f}'
  if len(ratios) > 1:
    ratio += f' ({min(ratios):.2f} to {max(ratios):.2f})'
  target = '–'
  if found['target'] is not None:
    least = '' if found['least'] is None else f'{found["least"]:.2g} to '
    word = 'met' if found['met'] else 'missed'
    target = f'{least}{found["target"]:g}, {word}'
  floor = found['floor']
  return (
    found['name'],
    _amount(median['ours'], unit),
    found['against'],
    _amount(median['theirs'], unit),
    ratio,
    str(found['n']),
    target,
    '–' if floor is None else _amount(floor, unit),
  )


def _amount(value: float, unit: str) -> str:
  if unit == 'bytes':
    size, prefix = next((x for x in _PREFIXES if value >= x[0]), (1e3, 'k'))
    return f'{value / size:.3g} {prefix}B'
  if unit == 's' and value < 1:
    return f'{1000 * value:.3g} ms'
  return f'{value:.3g} {unit}'.strip()


if __name__ == '__main__':
  main(*sys.argv[1:])
