"""Probes: what is asked of finished models, each answer kept on disk."""

import inspect
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxunlearn import checks, compile_cache, files, machine
from jaxunlearn.attempt import Attempt
from jaxunlearn.checkpoints import Checkpoints
from jaxunlearn.clock import Clock
from jaxunlearn.errors import Conflict, InputError
from jaxunlearn.gather import to_host
from jaxunlearn.hosts import led, several
from jaxunlearn.models.linen import to_float
from jaxunlearn.probes import spd_gan
from jaxunlearn.problem import Run, named_key

__all__ = ['answered', 'ask', 'check', 'check_made']

_RANGES = {
  'num_steps': (1, 10_000_000),
  'eta': (0.0, 1e3),
  'batch_size': (1, 10_000_000),
  'learning_rate': (1e-12, 1e3),
  'max_noise': (1e-6, 1.0),
  'width': (1, 10_000),
  'seed': (0, 2**32 - 1),
}
_SHOWN = 8  # Images whose noise is kept, for Fig. 4 of the paper.


def check(config: Any) -> None:
  """Checks the settings of every probe.

  Raises:
    InputError: an unknown probe or setting, or a value that cannot be.
  """
  for probe, settings in config.probes.to_dict().items():
    checks.choice('probes', probe, ['spd_gan'])
    known = _defaults()
    if not isinstance(settings, Mapping):
      raise InputError(
        f'probes.{probe} is {settings!r:.40}, but must hold its settings, such '
        "as {'num_steps': 200}."
      )
    for key, value in settings.items():
      name = f'probes.{probe}.{key}'
      if key not in known:
        raise InputError(
          f'probes.{probe} has no setting {key!r}'
          f'{checks.nearest(key, list(known))}'
        )
      checks.kind(name, value, type(known[key]))
      checks.in_range(name, value, *_RANGES[key])


def check_made(config: Any, folder: Path) -> None:
  """Checks that what a workdir's models were asked is what is asked now.

  Raises:
    Conflict: names the first setting that differs, of an answer or of one that
      is being made.
    InputError: an answer is damaged.
  """
  for probe, own in config.probes.to_dict().items():
    settings = _defaults() | own
    answers = {
      path: _read(path)['made_from']
      for path in sorted(folder.glob(f'probes/{probe}/*.json'))
    }
    for path in sorted(folder.glob(f'probes/{probe}/.unfinished-*')):
      begun = Checkpoints(path, {}).recorded()
      if begun is not None:
        answers[path] = begun['made_from']
    for path, before in answers.items():
      for key, value in json.loads(json.dumps(settings)).items():
        if before.get(key) != value:
          raise Conflict(
            f'probes.{probe}.{key} is {value}, but {path} was made with '
            f'{before.get(key)}: choose another --workdir, or remove '
            f'{path.parent}.'
          )


def answered(report: Mapping[str, Any], folder: Path) -> bool:
  """Whether no probe of a report is to be asked again, because it failed."""
  return all(
    'failed' not in found or (folder / f'probes/{probe}/{name}.json').exists()
    for name, values in report['models'].items()
    for probe, found in values['probes'].items()
  )


def ask(run: Run) -> dict[str, dict[str, Any]]:
  """Asks every probe about the references and the rows that the config names.

  A model is held against the original; a second retraining against the first,
  where there is one, because the two differ by chance alone. What an earlier
  start asked in this workdir stays in its report; of rows that another config
  left there nothing new is asked.

  Returns:
    {model: {probe: {name: value}}}.
  """
  found = {}
  wanted = {'original', 'retrained', *run.config.recipes}
  for name, stage in run.stages.items():
    result = stage.result()
    if 'failed' in result:
      continue
    again = result['recipe'] == 'retrain' and name != 'retrained'
    first = again and 'retrained' in run.stages
    against = 'retrained' if first else 'original'
    found[name] = _earlier(run, name, against)
    for probe in run.config.probes if name in wanted else ():
      found[name][probe] = _kept(run, probe, name, against)
  return found


def _defaults() -> dict[str, Any]:
  parameters = inspect.signature(spd_gan.train).parameters.values()
  defaults = {
    p.name: p.default
    for p in parameters
    if p.kind is p.KEYWORD_ONLY and p.default is not p.empty
  }
  return {'num_steps': 200, **defaults, 'seed': 0}


def _kept(run: Run, probe: str, name: str, against: str) -> dict[str, Any]:
  """The answer that is on disk, or a new one."""
  settings = _defaults() | run.config.probes[probe].to_dict()
  hashes = _hashes(run, name, against)
  made_from = json.loads(json.dumps({**settings, **hashes}))
  path = run.work.path / 'probes' / probe / f'{name}.json'
  begun = Checkpoints(path.with_name(f'.unfinished-{name}'), made_from)
  if path.is_file():
    before = _read(path)
    if before['made_from'] == made_from:
      begun.remove()
      return before['found']
  run.check_stop(f'{name} was not yet asked {probe}')
  run.progress.say(f'{name}: asking {probe}, against {against}')
  path.parent.mkdir(parents=True, exist_ok=True)
  if (begun.recorded() or {}).get('made_from') != made_from:
    # Of a model that was made again since.
    begun.remove()
  compile_cache.make_room()
  try:
    values, shown = _spd_gan(run, settings, name, against, begun)
  except jax.errors.JaxRuntimeError as error:
    # The others would wait for this one.
    if several():
      raise
    # Not kept: the next start asks again.
    (reason, *_) = str(error).splitlines() or [type(error).__name__]
    run.progress.say(f'{name}: {probe} failed, {reason}')
    return {'degree': None, 'against': against, 'failed': reason}
  finally:
    begun.settle()
  found = {**values, 'against': against}
  _save(path, shown, {'made_from': made_from, 'found': found})
  begun.remove()
  return found


def _earlier(run: Run, name: str, against: str) -> dict[str, dict[str, Any]]:
  """The answers about these models that are on disk."""
  found = {}
  for path in sorted(run.work.path.glob(f'probes/*/{name}.json')):
    before = _read(path)
    if _hashes(run, name, against).items() <= before['made_from'].items():
      found[path.parent.name] = before['found']
  return found


def _hashes(run: Run, *names: str) -> dict[str, str]:
  return {
    name: run.stages[name].result()['checkpoint_sha256'] for name in names
  }


def _read(path: Path) -> dict[str, Any]:
  before = files.read_json(path)
  try:
    return {key: dict(before[key]) for key in ('made_from', 'found')}
  except (ValueError, KeyError, TypeError) as error:
    raise files.damaged(path) from error


def _spd_gan(
  run: Run,
  settings: Mapping[str, Any],
  name: str,
  against: str,
  begun: Checkpoints,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
  """What SPD-GAN measures, and a few images with their noise."""
  problem = run.problem
  judges = [
    spd_gan.judge(
      problem.model,
      problem.place(run.stages[model].variables(problem.like())),
    )
    for model in (against, name)
  ]
  how = {key: value for key, value in settings.items() if key != 'seed'}
  # One key for all models: what differs is the model alone.
  key = named_key(settings['seed'], 'spd_gan')
  parts = {k: how[k] for k in ('learning_rate', 'width')}
  state = problem.place(spd_gan.begin(key, problem.forget, **parts))
  attempt = Attempt(run, f'spd_gan of {name}', begun, state, Clock())
  state, calls = attempt.state, attempt.calls
  attempt.offer(state, calls)
  steps = spd_gan.steps(state, key, *judges, problem.forget, **how)
  for state, metrics in steps:
    # The last tells whether it diverged; all would be in each checkpoint.
    calls = [(1, metrics)]
    attempt.offer(state, calls)
  history = [metrics for _, metrics in calls]
  gan = spd_gan.finish(state, history, how['max_noise'])
  values = spd_gan.measure(gan, *judges, problem.forget)
  if not math.isfinite(gan.history['loss'][-1]):
    values = dict.fromkeys(values)
    values['failed'] = (
      'the generator diverged: lower its learning_rate and remove '
      'probes/spd_gan.'
    )
  first = problem.forget.take(np.arange(min(_SHOWN, len(problem.forget))))
  image = to_float(first['image'])
  perturbed, noise = spd_gan.perturb(gan, image)
  shown = {
    'image': image,
    'perturbed': perturbed,
    'noise': noise,
    'label': first['label'],
  }
  made = run.stages[name].result().get('environment', {})
  changes = attempt.changes or machine.elsewhere(made, machine.environment())
  if changes:
    values['changes'] = changes
  return values, to_host(shown)


@led
def _save(
  path: Path, arrays: Mapping[str, np.ndarray], answer: Mapping[str, Any]
) -> None:
  content = io.BytesIO()
  np.savez_compressed(content, **arrays)
  files.replace(path.with_suffix('.npz'), content.getvalue())
  files.write_json(path, answer)
