"""What formulas say of seconds, beside what is measured on this machine."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from benchmarks import predicted, processes, rates, scaling
from benchmarks.result import Result

# Seconds on paper are to be right to a factor of 2.
_BOUNDS = {'target': 2.0, 'least': 0.5}
_FITTED = 'the formula was fitted to this'


def run(quick: bool) -> Iterator[Result]:
  """Steps and selections of one device; sums and gathers between processes."""
  sizes = ((4, 8, 1),) if quick else ((16, 128, 5), (64, 128, 1))
  for width, batch, rounds in sizes:
    found = [scaling.on(1, 1, width, batch) for _ in range(rounds)]
    yield from _taken(width, batch, found)
  for count in 2, 4:
    yield from _moved(count, 400_000 if quick else 40_000_000)


def _taken(width: int, batch: int, found: list[dict]) -> Iterator[Result]:
  params = found[0]['parameters']
  for what, fitted, formula in (
    ('step', 16, predicted.computing(params, batch, rates.matrix())),
    ('selection', 64, predicted.selecting(params, 1, rates.read(), 0)),
  ):
    yield Result(
      f'seconds/{what}, width {width}',
      tuple(x[f'{what}_seconds'] for x in found),
      'formula',
      (formula,) * len(found),
      note=_FITTED if width == fitted else '',
      **_BOUNDS,
    )


def _moved(count: int, size: int) -> Iterator[Result]:
  """At the rate at which each process passes on to the next."""
  with socket.socket() as free:
    free.bind(('localhost', 0))
    where = f'localhost:{free.getsockname()[1]}'
  with ThreadPoolExecutor(count) as pool:
    first, *_ = pool.map(
      lambda index: processes.run(
        '-m', 'benchmarks.moving', where, *map(str, (count, index, size))
      ),
      range(count),
    )
  found = json.loads(first.said.splitlines()[-1])
  for what, formula in (
    ('sum', predicted.summing),
    ('gather', predicted.gathering),
  ):
    yield Result(
      f'seconds/{what} of {size / 1e6:.3g} MB, {count} processes',
      tuple(found[what]),
      'formula',
      tuple(formula(size, count, size / taken) for taken in found['pass']),
      **_BOUNDS,
    )
