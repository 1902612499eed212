"""What two processes agree on: HOST:PORT INDEX; prints it, a line each."""

import sys

import jax
import numpy as np

from jaxunlearn import gather, hosts, mesh
from jaxunlearn.errors import InputError
from jaxunlearn.types import as_source

SETTINGS = {'count': 2, 'heartbeat_timeout_seconds': 10}


def main(coordinator, index):
  jax.config.update('jax_num_cpu_devices', 4)
  hosts.join({**SETTINGS, 'coordinator': coordinator, 'index': int(index)})
  first = hosts.leads()
  say(hosts.any_of(first, False, True), hosts.of_first([7, 3] * first, 3))
  # Those who do not lead are told nothing else.
  say(hosts.led(lambda: hosts.led(lambda: 'done')())())
  for work in (
    hosts.led(refuse),
    lambda: hosts.together(refuse if first else list),
    hosts.led(interrupt),
    lambda: mesh.make(2),
  ):
    try:
      say(work())
    except (InputError, KeyboardInterrupt) as error:
      say(type(error).__name__, str(error)[:30])
  devices = mesh.make(0, 8)
  held = np.arange(8192.0).reshape(8, 1024)
  (spread,) = mesh.place(devices, [held])
  assert not spread.is_fully_addressable
  say(np.array_equal(gather.to_host(spread), held), hosts.beside())
  batch = {'image': held[:, :, None, None], 'label': np.arange(8)}
  source, some = mesh.spread(devices, as_source(batch)), np.arange(8)[::-1]
  found = gather.to_host(source.take(some)['image'])
  say(np.array_equal(found[..., 0, 0], held[::-1]))


def refuse():
  raise InputError('the disk is full.')


def interrupt():
  raise KeyboardInterrupt


def say(*what):
  print('said', *what, flush=True)


if __name__ == '__main__':
  main(*sys.argv[1:])
