"""A short run by one of several processes, each of four devices.

WORKDIR DATA ORIGINAL MODEL HOST:PORT COUNT INDEX [STAGE CALL]: parameters are
split over MODEL devices; before that XLA call of that stage, from 1, it kills
itself.
"""

import os
import signal
import sys

import jax

from configs import common
from jaxunlearn import attempt, experiment, hosts
from tests import interrupted


def config(data, checkpoint=''):
  """A recipe and a probe, on images of a TFDS set that stay on disk."""
  made = interrupted.config()
  with made.unlocked():
    made.data.update({'source': 'tfds:tiny', 'dir': str(data)})
    made.data.update({'stream': 'always', 'num_train': None, 'num_test': None})
    # Wide enough that convolutions are split along mesh.model.
    made.model.width = 16
    made.original.checkpoint = str(checkpoint)
    made.reference = 'none'
    made.recipes = common.rows(
      {
        'row': {'name': 'top_k', 'k': 500, 'over': 'scalars'},
      }
    )
    made.unlearn.batch_size = 16
    made.hosts.heartbeat_timeout_seconds = 10
  return made


def main(workdir, data, checkpoint, model, coordinator, count, index, *killed):
  jax.config.update('jax_num_cpu_devices', 4)
  made = config(data, checkpoint)
  made.mesh.update({'data': 0, 'model': int(model)})
  if int(count) == 1:
    # What a probe says is seen of several processes.
    made.probes = {}
  made.hosts.update(
    {'coordinator': coordinator, 'count': int(count), 'index': int(index)}
  )
  hosts.join(made.hosts)
  if killed:
    kill_before(*killed)
  experiment.run(made, workdir)


def kill_before(stage, call):
  offer, calls = attempt.Attempt.offer, []

  def offered(self, *args):
    calls.append(self.name)
    if calls.count(stage) == int(call):
      os.kill(os.getpid(), signal.SIGKILL)
    offer(self, *args)

  attempt.Attempt.offer = offered


if __name__ == '__main__':
  main(*sys.argv[1:])
