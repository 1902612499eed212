"""The workdir: the whole truth of a run, stage by stage, on disk."""

import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxunlearn import files, fingerprint
from jaxunlearn.errors import Conflict, InputError
from jaxunlearn.models import adapters
from jaxunlearn.types import Mask, Variables

__all__ = ['Stage', 'Workdir']


class Stage:
  """A piece of work, and the folder that is there when it is finished.

  The folder is an Orbax checkpoint of the model's variables with `logits.npz`
  and `result.json` beside them. It is made under another name and renamed when
  it is whole.

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
      Conflict, InputError: as `check`.
    """
    self.check()
    return self.path.exists()

  def check(self) -> None:
    """Checks that the stage, where it is there, was made as it would be now.

    Raises:
      Conflict: it was finished with other settings, of which the first is
        named.
      InputError: what lies there is none of ours.
    """
    if not self.path.exists():
      return
    if not (self.path / 'result.json').is_file():
      raise InputError(
        f'{self.path} is there, but was not finished by a run like this: move '
        'it away, or choose another --workdir.'
      )
    before = self.recorded()
    for name in sorted(before.keys() | self.made_from.keys()):
      old, new = before.get(name), self.made_from.get(name)
      if old != new:
        raise Conflict(
          f'{name} is {_short(new)}, but {self.path} was made with '
          f'{_short(old)}: choose another --workdir, or remove that folder.'
        )

  def recorded(self) -> dict[str, Any]:
    """What a finished stage was made from, as it was written then."""
    result = self.result()
    if not isinstance(result.get('made_from'), dict):
      raise files.damaged(self.path / 'result.json', self.path)
    return result['made_from']

  @property
  def holds_model(self) -> bool:
    """Whether the model is still there, besides the numbers."""
    return (self.path / '_METADATA').exists()

  def finish(
    self,
    variables: Variables,
    logits: Mapping[str, np.ndarray],
    result: Mapping[str, Any],
    mask: Mask | None = None,
  ) -> None:
    """Writes the model, its logits by split, and what was measured."""
    making = self._making()
    adapters.save(making, variables)
    if mask is not None:
      np.savez_compressed(making / 'selection.npz', **_by_path(mask))
    np.savez(making / 'logits.npz', **logits)
    sha256 = fingerprint.sha256(variables)
    content = {'made_from': self.made_from, 'checkpoint_sha256': sha256}
    files.write_json(making / 'result.json', {**content, **result})
    making.rename(self.path)

  def fail(self, result: Mapping[str, Any]) -> None:
    """Writes that the stage cannot be finished, which finishes it.

    Where `result` has `again`, the next start is to try it again.
    """
    making = self._making()
    making.mkdir(parents=True)
    files.write_json(
      making / 'result.json', {'made_from': self.made_from, **result}
    )
    making.rename(self.path)

  def retry(self) -> None:
    """Removes the stage if it failed in a way that need not happen again."""
    if (self.path / 'result.json').is_file() and self.result().get('again'):
      shutil.rmtree(self.path)

  def _making(self) -> Path:
    """Where the stage is made; what is left there of another start goes."""
    making = self.path.with_name(f'.making-{self.path.name}')
    if making.exists():
      shutil.rmtree(making)
    return making

  def result(self) -> dict[str, Any]:
    """What was measured."""
    return files.read_json(self.path / 'result.json', self.path)

  def variables(self, like: Variables) -> Variables:
    """The model.

    Raises:
      InputError: it was removed, or is damaged.
    """
    if not self.holds_model:
      raise InputError(
        f'{self.path} no longer holds a model (config.original.keep was '
        'False), so nothing can be added to this workdir: choose another.'
      )
    variables = adapters.restore(self.path, like)
    if fingerprint.sha256(variables) != self.result()['checkpoint_sha256']:
      raise InputError(
        f'the model in {self.path} is not the one that was saved there (its '
        'checkpoint_sha256 differs): remove that folder and start again.'
      )
    return variables

  def logits(self) -> dict[str, np.ndarray]:
    """The model's logits, {split: [n, classes]}."""
    try:
      with (
        open(self.path / 'logits.npz', 'rb') as raw,
        np.load(raw, allow_pickle=False) as file,
      ):
        return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
      raise files.damaged(self.path / 'logits.npz', self.path) from error

  def forget(self, facts: Mapping[str, Any]) -> None:
    """Removes all but the numbers, and adds `facts` to them."""
    result = {**self.result(), **facts}
    files.write_json(self.path / 'result.json', result)
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
    self.path = files.expand(path).absolute()
    try:
      self.path.mkdir(parents=True, exist_ok=True)
      probe = self.path / '.writable'
      probe.touch()
      probe.unlink()
      for name in ('unlearned', 'figures', 'last_good'):
        if (self.path / name).exists() and not (self.path / name).is_dir():
          raise NotADirectoryError(0, f'{name} in it is no folder')
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
    found = self.path.glob('unlearned/[!.]*/result.json')
    return sorted(path.parent.name for path in found)

  def write_config(self, config: Mapping[str, Any]) -> None:
    """Writes config.json."""
    files.write_json(self.path / 'config.json', config)

  def log(self, line: Mapping[str, Any]) -> None:
    """Adds a line to metrics.jsonl."""
    with open(self.path / 'metrics.jsonl', 'a', encoding='utf-8') as file:
      file.write(json.dumps(line, allow_nan=False) + '\n')

  def history(self) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl."""
    return files.read_lines(self.path / 'metrics.jsonl')

  def forget_lines(self, model: str) -> None:
    """Removes the lines of a model that is to be made again."""
    kept = [line for line in self.history() if line['model'] != model]
    text = ''.join(json.dumps(line) + '\n' for line in kept)
    files.replace(self.path / 'metrics.jsonl', text)

  def save_last_good(self, name: str, variables: Variables) -> Path:
    """Keeps the model of the last epoch before training diverged."""
    self.remove_last_good(name)
    path = self.path / 'last_good' / name
    adapters.save(path, variables)
    return path

  def remove_last_good(self, name: str) -> None:
    """Removes what `save_last_good` kept, if there is any."""
    path = self.path / 'last_good' / name
    if path.exists():
      shutil.rmtree(path)
      if not any(path.parent.iterdir()):
        path.parent.rmdir()


def _by_path(mask: Mask) -> dict[str, np.ndarray]:
  import jax

  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): np.asarray(leaf)
    for path, leaf in jax.tree.leaves_with_path(mask)
  }


def _short(value: Any) -> str:
  text = 'not set' if value is None else str(value)
  return text if len(text) <= 60 else f'{text[:57]}...'
