"""Many devices: what they cost on one CPU, and what each of them holds."""

import json
from collections.abc import Iterator

from benchmarks import processes
from benchmarks.result import Result

_MESHES = ((8, 1), (2, 4), (1, 8))


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
        target=target if (data, model) == (8, 1) or what == 'step' else None,
        note='virtual devices of one CPU: overhead alone',
      )
    found, params = many[0], many[0]['parameters']
    moved = found['step_collective_bytes']
    yield _of_bytes(
      f'{name}, state on a device',
      found['state_bytes'],
      'one device',
      alone[0]['state_bytes'],
      target=1.0 if model == 1 else 1.35 / model,
    )
    yield _of_bytes(
      f'{name}, a step sums',
      moved.get('all-reduce', 0),
      '4 P',
      4 * params,
      target=1.01,
    )
    if model > 1:
      yield _of_bytes(
        f'{name}, a step gathers',
        moved.get('all-gather', 0),
        '4 P',
        4 * params,
        target=1.01,
      )


def _of_bytes(
  name: str, ours: int, against: str, theirs: int, target: float
) -> Result:
  return Result(
    name, (float(ours),), against, (float(theirs),), target, unit='bytes'
  )


def _on(*arguments: int) -> dict:
  done = processes.run('-m', 'benchmarks.on_devices', *map(str, arguments))
  return json.loads(done.said.splitlines()[-1])
