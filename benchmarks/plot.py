"""Draws how cost grows: python -m benchmarks.plot RESULTS.json FIGURE.png."""

import json
import sys
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def main(source: str, target: str) -> None:
  """One panel for each result that has points, both axes logarithmic."""
  found = json.loads(Path(source).read_text())['results']
  found = [result for result in found if result['points']]
  figure = Figure(figsize=(3.4 * len(found), 3), layout='constrained')
  FigureCanvasAgg(figure)
  panels = figure.subplots(1, len(found), squeeze=False)[0]
  for axes, result in zip(panels, found, strict=True):
    sizes, seconds = zip(*result['points'], strict=True)
    linear = [seconds[-1] * size / sizes[-1] for size in sizes]
    axes.loglog(sizes, seconds, 'o-', color='#0072B2', label='measured')
    axes.loglog(sizes, linear, '--', color='#999999', label='linear')
    what, _, cost = result['name'].partition('/')[2].partition(', ')
    axes.set_xlabel(what)
    axes.set_ylabel(f'{cost}, s')
    axes.set_title(f'exponent {result["ratio"]:.2f}', fontsize=10)
  panels[0].legend(frameon=False)
  figure.savefig(target, dpi=150)


if __name__ == '__main__':
  main(*sys.argv[1:])
