"""A whole run on images that stay on disk: python -m benchmarks.larger DIR N.

Makes a TFDS set of N images of 128 x 128 in each split, each of one shade, so
that they take little room on the disk; 122,000 are 4.0 GB in all. In a second
process, the launcher's own run of it: an original, Top-K over leaves,
fine-tuning, evaluation, SPD-GAN. Says what that one held at most. About 25
minutes on a core.
"""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from configs import common, digits_topk
from jaxunlearn import experiment
from tests.data import streams_test

_SIDE = 128


def main(folder: str, count: str, part: str = 'all') -> None:
  """Makes the set, runs on it, or both in turn."""
  if part == 'all':
    for name in ('make', 'run'):
      command = [sys.executable, '-m', 'benchmarks.larger', folder]
      subprocess.run([*command, count, name], check=True)
  elif part == 'make':
    _make(Path(folder) / 'tfds', int(count))
  else:
    experiment.run(_config(folder), Path(folder) / 'workdir')
    status = Path('/proc/self/status').read_text()
    peak = 1024 * int(re.search(r'VmHWM:\s*(\d+)', status)[1])
    print(f'{2 * int(count) * _SIDE**2} bytes of images, at most {peak} held')


def _make(root: Path, count: int) -> None:
  shades = [
    streams_test.png(np.full((_SIDE, _SIDE), shade, np.uint8))
    for shade in range(256)
  ]
  examples = [
    {'id': f'{n:06}'.encode(), 'image': shades[n % 256], 'label': n % 3}
    for n in range(count)
  ]
  root.mkdir(parents=True)
  image = streams_test.image_feature(_SIDE, _SIDE)
  streams_test.prepare(root, examples=examples, image=image)


def _config(folder: str) -> ConfigDict:
  config = digits_topk.get_config().unlock()
  config.data.update(source='tfds:tiny', dir=f'{folder}/tfds', stream='always')
  config.model.width = 1
  config.train.epochs = config.unlearn.epochs = 1
  config.reference = 'none'
  config.recipes = common.rows(
    {'row': {'name': 'top_k', 'k': 3, 'over': 'leaves'}}
  )
  config.probes = common.rows({'spd_gan': {'num_steps': 1, 'width': 1}})
  return config.lock()


if __name__ == '__main__':
  main(*sys.argv[1:])
