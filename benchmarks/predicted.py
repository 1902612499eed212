"""What many devices need, by formulas: python -m benchmarks.predicted.

Prints the table of docs/scaling.md. P is the number of parameters, of float32
and trained with Adam; data x model devices; B examples in a batch of all.
"""

# Bytes that an example of 32 x 32 takes in ResNet18's backward pass, for each
# channel of its width: fitted in docs/performance.md.
_ACTIVATIONS = 67_200
# Passes of a selection over its scores.
_PASSES = 15
# Of the rate of a matrix product, what a step computes at, and of the rate of
# memory, what a pass of a selection reads at: fitted to a CPU of 2 cores
# (ResNet18 of width 16; 11 million scalars).
_COMPUTED, _READ = 0.4, 0.4
# Of the rate on the data sheet of an H100, what a step of ResNet18 of width 64
# computed at, 128 examples in bfloat16 (docs/results/accelerator_h100.json).
_ON_H100 = 0.16
# Of an H100 SXM by its data sheet: bfloat16 operations/s; bytes/s of its
# memory, of its links to the 7 beside it, and of a network card.
_OPERATIONS, _MEMORY = 989e12, 3.35e12
_LINKS, _NETWORK, _NODE = 450e9, 50e9, 8
# Seconds until a sum of a few bytes over all devices is there; assumed.
_LATENCY = {8: 20e-6, 64: 50e-6, 512: 100e-6}
# Operations that each parameter takes part in, for an example: ResNet18 on
# 32 x 32 multiplies and adds 0.56e9 times with 11.2e6 parameters.
_REUSE, _EXAMPLES = 50, 128


def state(params: float, model: int) -> float:
  """Bytes on a device between steps: parameters, and two moments of each."""
  return 12 * params / model


def whole(params: float, model: int) -> float:
  """Bytes on a device while a step runs: gathered parameters, and gradients.

  Where parameters are not split, XLA finds room for gradients in what the
  activations took.
  """
  return 8 * params if model > 1 else 0.0


def activations(width: int, batch: int, devices: int) -> float:
  """Bytes on a device while a step of ResNet18 runs."""
  return _ACTIVATIONS * width * batch / devices


def selection(params: float, model: int) -> float:
  """Bytes that a selection makes on a device: its scores."""
  return 4 * params / model


def computing(
  params: float, examples: float, rate: float, share: float = _COMPUTED
) -> float:
  """Seconds in which a device with that matrix rate computes a step.

  Args:
    params: of the network.
    examples: of a batch, on the device.
    rate: operations/s of a matrix product.
    share: of that rate, which a step reaches.
  """
  return 6 * params * _REUSE * examples / (share * rate)


def summing(size: float, devices: int, rate: float) -> float:
  """Seconds in which bytes that each device has are summed over all.

  Args:
    size: bytes.
    devices: in one ring.
    rate: bytes/s that a device passes on.
  """
  return 2 * size * (devices - 1) / devices / rate


def gathering(size: float, devices: int, rate: float) -> float:
  """Seconds in which bytes of which each device has its share come to all."""
  return size * (devices - 1) / devices / rate


def selecting(params: float, model: int, rate: float, latency: float) -> float:
  """Seconds of reading the scores in each pass, and adding up counts."""
  return _PASSES * (4 * params / model / (_READ * rate) + latency)


def table() -> str:
  """10^8, 10^9 and 10^10 parameters on 8 to 512 devices, as Markdown."""
  lines = [
    '| P | devices | data x model | state | whole in a step | moved in a step '
    '| computing | moving | selection | selection, bytes |',
    '|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
  ]
  for power in (8, 9, 10):
    for devices in _LATENCY:
      model = 1 if power == 8 else 8
      params = 10.0**power
      rate = _LINKS if devices <= _NODE else _NETWORK
      moving = gathering(4 * params, model, _LINKS)
      moving += summing(4 * params, devices, rate)
      step = computing(params, _EXAMPLES, _OPERATIONS, _ON_H100)
      chosen = selecting(params, model, _MEMORY, _LATENCY[devices])
      cells = (
        f'10^{power}',
        devices,
        f'{devices // model} x {model}',
        f'{state(params, model) / 1e9:.3g} GB',
        f'{whole(params, model) / 1e9:.3g} GB',
        f'{(8 if model > 1 else 4) * params / 1e9:.3g} GB',
        f'{step:.2g} s',
        f'{moving:.2g} s',
        f'{chosen:.2g} s',
        f'{selection(params, model) / 1e9:.2g} GB',
      )
      lines.append(f'| {" | ".join(map(str, cells))} |')
  return '\n'.join(lines)


if __name__ == '__main__':
  print(table())
