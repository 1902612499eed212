"""The report of a run, put together from what its stages hold on disk."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax

from jaxunlearn import evaluation, machine, metrics
from jaxunlearn.problem import Problem
from jaxunlearn.report import schema
from jaxunlearn.stage import Stage

__all__ = ['assemble', 'similarity']


def assemble(
  config: Any,
  problem: Problem,
  stages: Mapping[str, Stage],
  probes: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
  """The report, schema 1, as `report.write` takes it.

  Args:
    config: the settings of the run.
    problem: its data and request.
    stages: {model: Stage}, all finished, the original first.
    probes: {model: {probe: what it found}}.
  """
  results = {name: stage.result() for name, stage in stages.items()}
  original, retrained = results['original'], results.get('retrained')
  return {
    'schema': schema.SCHEMA,
    'request': dict(problem.description),
    'environment': _environment(results.values()),
    'original': {
      'from': original['from'],
      'kept': config.original.keep and stages['original'].holds_model,
      'path': str(stages['original'].path),
    },
    'reference': 'retrain' if retrained else 'none',
    'config': config.to_dict(),
    'models': {
      name: _failed(result)
      if 'failed' in result
      else {
        'recipe': result['recipe'],
        'accuracy': result['accuracy'],
        **evaluation.rates(result['accuracy'], original['accuracy']),
        'similarity': similarity(stages[name], stages.get('retrained')),
        'selected': result.get('selected'),
        'seconds': {
          **result['seconds'],
          'to_convergence': evaluation.seconds_to(result),
        },
        'epochs': result['epochs'],
        'converged_epoch': result['converged_epoch'],
        'acceleration': _acceleration(result, retrained),
        'gap_to_retrained': evaluation.gap(
          result['accuracy'], retrained and retrained['accuracy']
        ),
        'probes': dict(probes.get(name, {})),
        'checkpoint_sha256': result['checkpoint_sha256'],
        'settings': result['settings'],
        'dead': _dead(stages[name], result),
        'stopped': result['stopped'],
        # What it tells of itself says as much.
        'changes': result.get('changes')
        or machine.elsewhere(
          original.get('environment', {}), result.get('environment', {})
        ),
      }
      for name, result in results.items()
    },
  }


def _dead(stage: Stage, result: Mapping[str, Any]) -> dict[str, Any] | None:
  """Why a row can tell no image from another, or learn no more; else None."""
  if 'dead' not in result or result['dead']:
    return result.get('dead')
  same = evaluation.same_logits(stage.logits('retain'))
  return {'same_logits': True} if same else None


def _failed(result: Mapping[str, Any]) -> dict[str, Any]:
  """A row that could not be finished, and why: nothing of it was measured."""
  splits = ('forget', 'retain', 'test', 'forget_true_label')
  seconds = (
    *('select', 'perturb', 'fine_tune', 'total', 'compile'),
    'to_convergence',
  )
  unknown = (
    *('forgetting_rate', 'memory_retention_rate', 'similarity', 'selected'),
    *('epochs', 'converged_epoch', 'acceleration', 'gap_to_retrained'),
    *('checkpoint_sha256', 'dead', 'stopped'),
  )
  return {
    'recipe': result['recipe'],
    'failed': result['failed'],
    'accuracy': dict.fromkeys(splits),
    'seconds': dict.fromkeys(seconds),
    **dict.fromkeys(unknown),
    'probes': {},
    'settings': result['settings'],
    'changes': [],
  }


def similarity(stage: Stage, reference: Stage | None) -> float | None:
  """Similarity of a model to the retrained one, on forget."""
  if reference is None:
    return None
  if 'similarity' in stage.result():
    return stage.result()['similarity']
  ours, theirs = stage.logits('forget'), reference.logits('forget')
  return float(metrics.similarity(ours, theirs))


def _environment(results: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
  """Versions, and the devices on which the stages were made."""
  made = [result for result in results if 'device' in result]
  where = [result.get('environment', {}) for result in made]

  def of(name: str, now: Any) -> str:
    return ' and '.join(dict.fromkeys(str(x.get(name, now)) for x in where))

  return {
    **{name: of(name, now) for name, now in machine.versions().items()},
    'device': ' and '.join(dict.fromkeys(r['device'] for r in made)),
    'device_count': max(x.get('devices', jax.device_count()) for x in where),
    'process_count': jax.process_count(),
    'deterministic': all(r.get('deterministic', True) for r in made),
  }


def _acceleration(
  result: Mapping[str, Any], retrained: Mapping[str, Any] | None
) -> float | None:
  """Time to retrain / time to unlearn, each to convergence on one device."""
  if not retrained or retrained.get('device') != result.get('device'):
    return None
  ours, theirs = map(evaluation.seconds_to, (result, retrained))
  return theirs / ours if theirs and ours else None
