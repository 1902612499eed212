"""The workdir: the whole truth of a run, stage by stage, on disk."""

import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxunlearn.errors import InputError
from jaxunlearn.models import adapters
from jaxunlearn.types import Mask, Variables

__all__ = ['Stage', 'Workdir']


class Stage:
  """One finished or unfinished piece of work, in a folder of its own.

  The folder is an Orbax checkpoint of the model's variables with `logits.npz`
  and `result.json` beside them. `result.json` is written last: where it is,
  the stage is finished.

  Attributes:
    path: the folder.
    made_from: {setting: value}, all that the stage depends on.
  """

  def __init__(self, path: Path, made_from: Mapping[str, Any]):
    self.path = path
    # As JSON gives it back, so that what was written compares equal.
    self.made_from = json.loads(json.dumps(dict(made_from)))

  @property
  def finished(self) -> bool:
    """Whether there is nothing left to do.

    Raises:
      InputError: it was finished with other settings; names the first.
    """
    if not (self.path / 'result.json').exists():
      return False
    before = self.recorded()
    for name in sorted(before.keys() | self.made_from.keys()):
      old, new = before.get(name), self.made_from.get(name)
      if old != new:
        raise InputError(
          f'{name} is {_short(new)}, but {self.path} was made with '
          f'{_short(old)}: choose another --workdir, or remove that folder.'
        )
    return True

  def recorded(self) -> dict[str, Any]:
    """What a finished stage was made from, as it was written then."""
    return self.result()['made_from']

  def finish(
    self,
    variables: Variables,
    logits: Mapping[str, np.ndarray],
    result: Mapping[str, Any],
    mask: Mask | None = None,
  ) -> None:
    """Writes the model, its logits by split, and what was measured."""
    if self.path.exists():
      shutil.rmtree(self.path)
    adapters.save(self.path, variables)
    if mask is not None:
      np.savez_compressed(self.path / 'selection.npz', **_by_path(mask))
    np.savez(self.path / 'logits.npz', **logits)
    content = {'made_from': self.made_from, **result}
    _write_json(self.path / 'result.json', content)

  def result(self) -> dict[str, Any]:
    """What was measured."""
    return _read_json(self.path / 'result.json')

  def variables(self, like: Variables) -> Variables:
    """The model.

    Raises:
      InputError: it was removed, or is damaged.
    """
    if not (self.path / '_METADATA').exists():
      raise InputError(
        f'{self.path} no longer holds a model (config.original.keep was '
        'False), so nothing can be added to this workdir: choose another.'
      )
    return adapters.restore(self.path, like)

  def logits(self) -> dict[str, np.ndarray]:
    """The model's logits, {split: [n, classes]}."""
    try:
      with (
        open(self.path / 'logits.npz', 'rb') as raw,
        np.load(raw, allow_pickle=False) as file,
      ):
        return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
      raise InputError(
        f'{self.path / "logits.npz"} is damaged: remove {self.path} and start '
        'again.'
      ) from error

  def forget(self, facts: Mapping[str, Any]) -> None:
    """Removes all but the numbers, and adds `facts` to them."""
    result = {**self.result(), **facts}
    _write_json(self.path / 'result.json', result)
    for entry in self.path.iterdir():
      if entry.name != 'result.json':
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


class Workdir:
  """A directory of stages, with `config.json` and `metrics.jsonl`.

  Attributes:
    path: the directory.
  """

  def __init__(self, path: str | Path):
    """Makes the directory where it is missing.

    Raises:
      InputError: it cannot be made or written.
    """
    self.path = Path(path).expanduser().absolute()
    try:
      self.path.mkdir(parents=True, exist_ok=True)
      probe = self.path / '.writable'
      probe.touch()
      probe.unlink()
    except OSError as error:
      raise InputError(
        f'the workdir {self.path} cannot be written ({error.strerror}): '
        'choose another with --workdir.'
      ) from error

  def stage(self, name: str, made_from: Mapping[str, Any]) -> Stage:
    """The stage of that name, such as `original` or `unlearned/top_k`."""
    return Stage(self.path / name, made_from)

  def rows(self) -> list[str]:
    """The names of the rows that are finished, sorted."""
    found = self.path.glob('unlearned/*/result.json')
    return sorted(path.parent.name for path in found)

  def write_config(self, config: Mapping[str, Any]) -> None:
    """Writes config.json."""
    _write_json(self.path / 'config.json', config)

  def log(self, line: Mapping[str, Any]) -> None:
    """Adds a line to metrics.jsonl."""
    with open(self.path / 'metrics.jsonl', 'a', encoding='utf-8') as file:
      file.write(json.dumps(line, allow_nan=False) + '\n')

  def history(self) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl."""
    path = self.path / 'metrics.jsonl'
    lines = path.read_text('utf-8').splitlines() if path.exists() else []
    try:
      return [json.loads(line) for line in lines]
    except json.JSONDecodeError as error:
      raise InputError(
        f'{path} holds a line that is not JSON: mend or remove it.'
      ) from error

  def forget_lines(self, model: str) -> None:
    """Removes the lines of a model that is to be made again."""
    kept = [line for line in self.history() if line['model'] != model]
    text = ''.join(json.dumps(line) + '\n' for line in kept)
    _replace(self.path / 'metrics.jsonl', text)

  def save_last_good(self, name: str, variables: Variables) -> Path:
    """Keeps the model of the last epoch before training diverged."""
    path = self.path / 'last_good' / name
    if path.exists():
      shutil.rmtree(path)
    adapters.save(path, variables)
    return path


def _by_path(mask: Mask) -> dict[str, np.ndarray]:
  import jax

  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): np.asarray(leaf)
    for path, leaf in jax.tree.leaves_with_path(mask)
  }


def _short(value: Any) -> str:
  text = 'not set' if value is None else str(value)
  return text if len(text) <= 60 else f'{text[:57]}...'


def _read_json(path: Path) -> dict[str, Any]:
  try:
    return json.loads(path.read_text('utf-8'))
  except (OSError, ValueError) as error:
    raise InputError(
      f'{path} is damaged: remove {path.parent} and start again.'
    ) from error


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
  _replace(path, json.dumps(content, indent=1, allow_nan=False) + '\n')


def _replace(path: Path, text: str) -> None:
  partial = path.with_name(f'.{path.name}.partial')
  partial.write_text(text, encoding='utf-8')
  os.replace(partial, path)
