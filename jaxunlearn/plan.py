"""The plan of a run: its stages, and what each is made from."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from jaxunlearn import files, fingerprint, masks, nested
from jaxunlearn.errors import Conflict, Impossible, InputError
from jaxunlearn.models import adapters
from jaxunlearn.problem import Problem
from jaxunlearn.rows import Row
from jaxunlearn.stage import Stage
from jaxunlearn.types import Array, Selection, Task, Variables
from jaxunlearn.workdir import Workdir

__all__ = ['check_origin', 'made_of', 'rehearse', 'restored', 'stages']


def stages(
  config: Any, rows: list[Row], problem: Problem, work: Workdir
) -> dict[str, Stage]:
  """The stages of a run, each with all that it is made from.

  Rows and the retrained that an earlier start finished in this workdir stay in
  its report.
  """
  training = nested.flat({'train': config.train.to_dict()})
  if config.original.checkpoint:
    path = files.expand(config.original.checkpoint).absolute()
    if path.is_relative_to(work.path):
      raise InputError(
        f'original.checkpoint {path} lies in the workdir that the run writes: '
        'choose another --workdir.'
      )
    source = _checkpoint(path)
  else:
    source = training
  facts = problem.facts
  found = {'original': work.stage('original', facts | source)}
  made = (work.path / 'retrained' / 'result.json').is_file()
  if made or config.reference == 'retrain':
    found['retrained'] = work.stage('retrained', facts | training)
  for row in rows:
    own = nested.flat({'recipes': {row.name: dict(row.settings)}})
    recipe = {f'recipes.{row.name}.name': row.recipe}
    alone = training if row.method is None else {}
    found[row.name] = work.stage(
      f'unlearned/{row.name}', facts | source | alone | own | recipe
    )
  for name in work.rows():
    if name not in found:
      earlier = work.stage(f'unlearned/{name}', {}).recorded()
      own = {k: v for k, v in earlier.items() if k.startswith('recipes.')}
      alone = training if set(training) <= set(earlier) else {}
      found[name] = work.stage(
        f'unlearned/{name}', facts | source | alone | own
      )
  return found


def _checkpoint(path: Path) -> dict[str, Any]:
  """What says whether an original is still the same.

  Of a workdir's original that is its contents, wherever it lies now.
  """
  made = made_of(path)
  if made is None:
    return {'original.checkpoint': str(path)}
  return {'original.checkpoint_sha256': made.get('checkpoint_sha256')}


def made_of(path: Path) -> dict[str, Any] | None:
  """What was measured of an original in a workdir; None of a foreign one.

  Args:
    path: of `original.checkpoint`, absolute.
  """
  for folder in (path / 'original', path):
    if os.path.isfile(folder / 'result.json'):
      return Stage(folder, {}).result()
  return None


def restored(path: str, like: Variables) -> tuple[Variables, dict[str, Any]]:
  """The user's original, and what its workdir says of it if it has one.

  Args:
    path: `original.checkpoint`.
    like: shapes and dtypes of its variables.

  Raises:
    InputError: it cannot be read, or is not the one that was saved there.
  """
  variables = adapters.restore(path, like)
  made = made_of(files.expand(path).absolute()) or {}
  sha256 = made.get('checkpoint_sha256')
  if sha256 not in (None, fingerprint.sha256(variables)):
    raise InputError(
      f'the model in {path} is not the one that was saved there (its '
      'checkpoint_sha256 differs): take another copy of it.'
    )
  return variables, made


def rehearse(row: Row, problem: Problem) -> Selection | None:
  """Selects without computing anything, so that mistakes show at the start.

  Returns:
    Shapes and dtypes of the selection; None of a row that selects nothing.

  Raises:
    Impossible: the selection cannot be made of this network, such as k above
      the number of its entries, or of more than 2^31 - 1 of them.
  """
  if row.method is None:
    return None

  def select(key: Array, original: Variables) -> Selection:
    task = Task(problem.model, original, problem.forget, problem.retain)
    selection = row.method.select(key, task)
    # Which refuses more parameters than it can count.
    masks.count(selection.mask, original['params'])
    return selection

  try:
    return jax.eval_shape(select, jax.random.key(0), problem.like())
  except ValueError as error:
    raise Impossible(f'recipes.{row.name}: {error}') from error


def check_origin(stages: Mapping[str, Stage]) -> None:
  """Checks that rows were made, or begun, from the original that is there.

  Raises:
    Conflict: one was not, because the original was made again since.
  """
  original = stages['original'].result()['checkpoint_sha256']
  for stage in stages.values():
    path, sha256 = stage.origin()
    if (sha256 or original) != original:
      raise Conflict(
        f'{path} was made from another original than the one in '
        f'{stages["original"].path}: remove the former, or choose another '
        '--workdir.'
      )
