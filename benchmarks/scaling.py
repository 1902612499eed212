"""Many devices: what they cost on one CPU, and what each of them holds."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import job, predicted, processes
from benchmarks.result import Result

_MESHES = ((8, 1), (2, 4), (1, 8))


def run(quick: bool) -> Iterator[Result]:
  """ResNet18 of width 16, batch 128, on eight virtual devices and on one."""
  size = (4, 8) if quick else (16, 128)
  pairs = [
    [on(*shape, *size) for shape in ((1, 1), *_MESHES)]
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
  yield _job('quick' if quick else 'short', 1 if quick else 3)


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


def on(*arguments: int) -> dict:
  """What `on_devices` finds: DATA MODEL WIDTH BATCH."""
  done = processes.run('-m', 'benchmarks.on_devices', *map(str, arguments))
  return json.loads(done.said.splitlines()[-1])
