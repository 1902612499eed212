"""Many devices: what they cost on one CPU, and what formulas say of them."""

import json
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import job, predicted, processes, rates
from benchmarks.result import Result

_MESHES = ((8, 1), (2, 4), (1, 8))
# What seconds on paper are held to: they are to be right to a factor of 2.
_SECONDS = {'target': 2.0, 'least': 0.5}


def run(quick: bool) -> Iterator[Result]:
  """ResNet18 of width 16, batch 128, on eight virtual devices and on one."""
  size = (4, 8) if quick else (16, 128)
  pairs = [
    [_on(*shape, *size) for shape in ((1, 1), *_MESHES)]
    for _ in range(1 if quick else 5)
  ]
  alone = [found[0] for found in pairs]
  for place, (data, model) in enumerate(_MESHES, 1):
    name = f'scaling/{data} x {model}'
    many = [found[place] for found in pairs]
    for what, target in (('step', 1.25), ('selection', None)):
      yield Result(
        f'{name}, {what}',
        tuple(x[f'{what}_seconds'] for x in many),
        'one device',
        tuple(x[f'{what}_seconds'] for x in alone),
        target=target,
        note='virtual devices of one CPU: overhead alone',
      )
    yield from _held(name, many[0], data * model, model, *size)
  wide = () if quick else ((64, 128, [_on(1, 1, 64, 128)]),)
  for width, batch, found in ((*size, alone), *wide):
    yield from _taken(f'scaling/one device, width {width}', found, batch)
  yield _job('quick' if quick else 'short', 1 if quick else 3)
  for count in 2, 4:
    yield from _moved(count, 400_000 if quick else 40_000_000)


def _held(
  name: str, found: dict, devices: int, model: int, width: int, batch: int
) -> Iterator[Result]:
  """Bytes on a device, beside what the formulas say of them."""
  params, moved = found['parameters'], found['step_collective_bytes']
  running = predicted.activations(width, batch, devices)
  running += predicted.whole(params, model)
  for what, here, there in (
    ('state', found['state_bytes'], predicted.state(params, model)),
    ('while a step runs', found['step_temporary_bytes'], running),
    (
      'while it selects',
      found['selection_temporary_bytes'],
      predicted.selection(params, model),
    ),
    ('a step sums', moved.get('all-reduce', 0), 4 * params),
    ('a step gathers', moved.get('all-gather', 0), 4 * params),
  ):
    if what != 'a step gathers' or model > 1:
      yield Result(
        f'{name}, {what}',
        (float(here),),
        'formula',
        (float(there),),
        target=1.15,
        least=0.85,
        unit='bytes',
      )


def _taken(name: str, found: list[dict], batch: int) -> Iterator[Result]:
  """Seconds beside the formulas, with the rates of this machine."""
  params = found[0]['parameters']
  for what, formula in (
    ('step', predicted.computing(params, batch, rates.matrix())),
    ('selection', predicted.selecting(params, 1, rates.read(), 0)),
  ):
    yield Result(
      f'{name}, {what}',
      tuple(x[f'{what}_seconds'] for x in found),
      'formula',
      (formula,) * len(found),
      **_SECONDS,
    )


def _job(size: str, rounds: int) -> Result:
  """The job on eight devices and on one, compiling apart."""
  taken = {1: [], 8: []}
  with tempfile.TemporaryDirectory() as name:
    file = job.write_images(size, Path(name))
    for number in range(rounds + 1):
      for devices, seconds in taken.items():
        workdir = Path(name) / f'{devices}-{number}'
        found, compiling = job.ours(
          size, file, workdir, JAX_NUM_CPU_DEVICES=str(devices)
        )
        # The first has everything to compile.
        if number:
          seconds.append(found.seconds - compiling)
  return Result(
    'scaling/8 x 1, job',
    tuple(taken[8]),
    'one device',
    tuple(taken[1]),
    target=1.25,
    note='virtual devices of one CPU: overhead alone',
  )


def _moved(count: int, size: int) -> Iterator[Result]:
  """Between processes, at the rate at which each passes on to the next."""
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
      f'scaling/{count} processes, {what}',
      tuple(found[what]),
      'formula',
      tuple(formula(size, count, size / taken) for taken in found['pass']),
      **_SECONDS,
    )


def _on(*arguments: int) -> dict:
  done = processes.run('-m', 'benchmarks.on_devices', *map(str, arguments))
  return json.loads(done.said.splitlines()[-1])
