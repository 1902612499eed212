"""What a reader must know of a run itself: what is left, and what befell it."""

from collections.abc import Iterator, Mapping

__all__ = ['sentences']


def sentences(report: Mapping) -> Iterator[str]:
  """Sentences about the original's files, failures, and what may differ.

  Args:
    report: schema 1, validated.
  """
  for part in (_original, _failed, _changed, _not_deterministic):
    yield from part(report)


def _original(report: Mapping) -> Iterator[str]:
  source, kept = report['original']['from'], report['original']['kept']
  folder = report['original']['path']
  if kept:
    yield (
      f'{folder}/ still holds the original model, and with it what was to be '
      'forgotten: delete it, or set config.original.keep = False.'
    )
  else:
    yield f'The original model was removed from {folder}/ when the run ended.'
  if any('spd_gan' in values['probes'] for values in report['models'].values()):
    yield (
      'The files probes/spd_gan/*.npz hold a few of the forgotten images: '
      'delete them with the original.'
    )
  if source != 'trained':
    yield (
      f'The checkpoint {source} that the original was restored from was left '
      'as it was, and still holds what was to be forgotten.'
    )


def _failed(report: Mapping) -> Iterator[str]:
  for name, values in report['models'].items():
    if values.get('failed'):
      yield f'{name} failed: {values["failed"]}'


def _changed(report: Mapping) -> Iterator[str]:
  for name, values in report['models'].items():
    found = {name: values.get('changes', ())}
    for probe, answer in values['probes'].items():
      found[f'{probe} of {name}'] = answer.get('changes', ())
    for what, changes in found.items():
      than = 'the original' if what == name else name
      for change in changes:
        yield _went_on(what, than, change)


def _went_on(what: str, than: str, change: Mapping) -> str:
  parts = ', '.join(
    f'{part} {" then and ".join(map(_shown, values))} now'
    for part, values in change['what'].items()
  )
  if change['step'] is None:
    return (
      f'{what} was made elsewhere than {than} ({parts}): an uninterrupted '
      'run may round otherwise.'
    )
  return (
    f'{what} was stopped after step {change["step"]} and gone on with '
    f'elsewhere ({parts}): an uninterrupted run may round otherwise.'
  )


def _shown(value: object) -> str:
  return 'not set' if value in (None, '') else str(value)


def _not_deterministic(report: Mapping) -> Iterator[str]:
  if not report['environment'].get('deterministic', True):
    yield (
      'On a GPU the same config need not give the same bits again: with '
      'XLA_FLAGS=--xla_gpu_deterministic_ops=true it does, more slowly.'
    )
