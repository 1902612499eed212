"""A short run that sends itself a signal: WORKDIR STAGE CALL SIGNAL [CELLS].

Before the XLA call of that number in that stage, from 1. In place of a number
`save` is while a checkpoint is written, `finish` before the stage is, `result`
when its model is written and its result is not, and `renamed` when it is whole
and its checkpoints are still there. CELLS are those of a matrix.
"""

import json
import os
import sys
import threading
import time

import jax

from configs import common, digits_topk
from jaxunlearn import (
  attempt,
  checkpoints,
  experiment,
  interrupts,
  progress,
)
from jaxunlearn import stage as stages
from jaxunlearn.errors import Interrupted
from jaxunlearn.workdir import Workdir


def config(cells=()):
  """Two recipes and a probe, on 200 digits: five stages, 34 steps in all.

  In each cell of a matrix it is one recipe alone.
  """
  config = digits_topk.get_config()
  config.mesh.data = 1
  with config.unlocked():
    config.data.num_train, config.data.num_test = 200, 50
    config.model.width = 4
    config.train.update({'epochs': 3, 'batch_size': 64})
    config.unlearn.update({'epochs': 2, 'batch_size': 64})
    config.save.update({'seconds': 0.0, 'steps': 2})
    config.probes = common.rows({'spd_gan': {'num_steps': 4, 'width': 4}})
    config.recipes = common.rows(
      {name: config.recipes[name] for name in ('finetune', 'top_k')}
    )
    if cells:
      config.probes, config.reference = common.rows({}), 'none'
      config.recipes = common.rows({'finetune': config.recipes['finetune']})
      config.matrix = common.rows(
        {name: {'forget': {'seed': seed}} for seed, name in enumerate(cells)}
      )
  return config


def without_times(value):
  """A report, or lines of metrics, without what no two runs agree in."""
  if isinstance(value, dict):
    return {
      key: without_times(entry)
      for key, entry in value.items()
      if key not in ('seconds', 'acceleration', 'examples_per_second', 'path')
    }
  if isinstance(value, list):
    return [without_times(entry) for entry in value]
  return value


def outcome(work):
  report = json.loads((work / 'report.json').read_text())
  return without_times(report), without_times(Workdir(work).history())


def die_while_written(checkpoint, number):
  """Sends the signal when there is something of it, which is not all."""
  while not list(checkpoint.parent.glob(f'{checkpoint.name}.*tmp*/*')):
    time.sleep(0.0002)
  os.kill(os.getpid(), int(number))


def main(work, stage, call, number, *cells):
  counts = {}
  offer, finish = attempt.Attempt.offer, stages.Stage._clear
  write, abandon = checkpoints.Checkpoints._write, stages.Stage.abandon
  write_json = stages.files.write_json

  def written(self, step, *args):
    if (call, self.path.name) == ('save', f'.unfinished-{stage}'):
      how = self.path / str(step), number
      threading.Thread(target=die_while_written, args=how, daemon=True).start()
    write(self, step, *args)

  def counted(self, *args):
    counts[self.name] = counts.get(self.name, 0) + 1
    if (self.name, str(counts[self.name])) == (stage, call):
      # What was saved before is whole, so that each start gains some.
      self._checkpoints.wait()
      os.kill(os.getpid(), int(number))
    offer(self, *args)

  def made(self):
    if self.path.name == stage and call == 'finish' and counts.get(stage):
      os.kill(os.getpid(), int(number))
    return finish(self)

  def die(here, folder):
    if (here, folder) == (call, stage) and counts.get(stage):
      os.kill(os.getpid(), int(number))

  def written_json(path, content):
    if path.name == 'result.json':
      die('result', path.parent.name.removeprefix('.making-'))
    write_json(path, content)

  def abandoned(self):
    die('renamed', self.path.name)
    abandon(self)

  stages.files.write_json, stages.Stage.abandon = written_json, abandoned
  attempt.Attempt.offer, stages.Stage._clear = counted, made
  checkpoints.Checkpoints._write = written
  try:
    with interrupts.noted() as noted:
      experiment.run(config(cells), work, progress.Progress(), noted)
  except Interrupted as error:
    print(error)
    sys.exit(75)


if __name__ == '__main__':
  jax.config.update('jax_platforms', 'cpu')
  main(*sys.argv[1:])
