"""A stage of a run: a piece of work, whole on disk or not there."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxunlearn import files, fingerprint, nested, npz
from jaxunlearn.checkpoints import Checkpoints
from jaxunlearn.errors import Conflict, InputError
from jaxunlearn.gather import to_host
from jaxunlearn.hosts import led, see
from jaxunlearn.models import adapters
from jaxunlearn.types import Mask, Variables

__all__ = ['Stage']


class Stage:
  """A piece of work, and the folder that is there when it is finished.

  The folder is an Orbax checkpoint of the model's variables with `logits.npz`
  and `result.json` beside them. It is made under another name and renamed when
  it is whole.

  Attributes:
    path: the folder.
    made_from: {setting: value}, all that the stage depends on.
    selected: what is perturbed, while the stage is unfinished.
    checkpoints: what training has come to, likewise.
  """

  def __init__(self, path: Path, made_from: Mapping[str, Any]):
    self.path = path
    # As JSON gives it back, so that what was written compares equal.
    self.made_from = json.loads(json.dumps(dict(made_from)))
    self.selected, self.checkpoints = (
      Checkpoints(path.with_name(f'.{kind}-{path.name}'), self.made_from)
      for kind in ('selected', 'unfinished')
    )

  @property
  def finished(self) -> bool:
    """Whether there is nothing left to do.

    Raises:
      Conflict, InputError: as `check`.
    """
    self.check()
    return self.path.exists()

  def check(self) -> None:
    """Checks that what there is of the stage was made as it would be now.

    Raises:
      Conflict: it was made with other settings, of which the first is named.
      InputError: what lies there is none of ours.
    """
    if not self.path.exists():
      for part in (self.checkpoints, self.selected):
        begun = part.recorded()
        if begun is not None:
          self._compare(begun['made_from'], part.path)
      return
    if not (self.path / 'result.json').is_file():
      raise InputError(
        f'{self.path} is there, but was not finished by a run like this: move '
        'it away, or choose another --workdir.'
      )
    if not self.result().get('again'):
      self._compare(self.recorded(), self.path)

  def _compare(self, before: Mapping[str, Any], path: Path) -> None:
    for name in nested.changed(before, self.made_from):
      new, old = (_short(x.get(name)) for x in (self.made_from, before))
      raise Conflict(
        f'{name} is {new}, but {path} was made with {old}: choose another '
        '--workdir, or remove that folder.'
      )

  def origin(self) -> tuple[Path, str | None]:
    """Where what there is of it lies, and the SHA-256 of its original."""
    if self.path.exists():
      return self.path, self.result().get('original_sha256')
    for part in (self.checkpoints, self.selected):
      begun = part.recorded()
      if begun is not None:
        return part.path, begun['facts'].get('original_sha256')
    return self.path, None

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
    """Writes the model, its logits by split, and what was measured.

    Raises:
      InputError: what was saved on the way could not be written.
    """
    self.selected.wait()
    self.checkpoints.wait()
    self._clear()
    adapters.save(self._making, variables)
    sha256 = fingerprint.sha256(variables)
    content = {'made_from': self.made_from, 'checkpoint_sha256': sha256}
    selected = None if mask is None else _by_path(mask)
    self._complete(logits, {**content, **result}, selected)
    see(self.path / 'result.json')

  @led
  def _complete(
    self,
    logits: Mapping[str, np.ndarray],
    result: Mapping[str, Any],
    selected: Mapping[str, np.ndarray] | None,
  ) -> None:
    """Writes what lies beside the model, and gives the folder its name."""
    if selected is not None:
      np.savez_compressed(self._making / 'selection.npz', **selected)
    np.savez(self._making / 'logits.npz', **logits)
    files.write_json(self._making / 'result.json', result)
    self._making.rename(self.path)
    self.abandon()

  @led
  def fail(self, result: Mapping[str, Any]) -> None:
    """Writes that the stage cannot be finished, which finishes it.

    Where `result` has `again`, the next start is to try it again, from the last
    checkpoint on.
    """
    self.settle()
    self._clear()
    self._making.mkdir(parents=True)
    files.write_json(
      self._making / 'result.json', {'made_from': self.made_from, **result}
    )
    self._making.rename(self.path)
    if not result.get('again'):
      self.abandon()

  def settle(self) -> None:
    """Waits until nothing of it is being written."""
    self.selected.settle()
    self.checkpoints.settle()

  @led
  def tidy(self, again: bool = True) -> None:
    """Removes what is to be made again, and what an earlier start left over.

    That is the stage, if it failed in a way that need not happen again; what
    was being written when a start was killed; and the checkpoints of a stage
    that is finished.

    Args:
      again: whether this start is to make a stage again that has failed so.
    """
    self._clear()
    if not (self.path / 'result.json').is_file():
      return
    if not self.result().get('again'):
      self.abandon()
    elif again:
      # First what another setting made, such as the batch size for which memory
      # ran out: where the stage is gone, checkpoints must be of these settings.
      for part in (self.selected, self.checkpoints):
        if (part.recorded() or {}).get('made_from') != self.made_from:
          part.remove()
      # Renamed first, for a folder half removed would be nobody's.
      self.path.rename(self._making)
      self._clear()

  @led
  def abandon(self) -> None:
    """Removes what there is of it while it is unfinished."""
    self.selected.remove()
    self.checkpoints.remove()

  @property
  def _making(self) -> Path:
    """Where the stage is made."""
    return self.path.with_name(f'.making-{self.path.name}')

  @led
  def _clear(self) -> None:
    """Removes what another start left where the stage is made."""
    files.remove_folder(self._making)

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

  def logits(self, split: str) -> np.ndarray:
    """The model's logits on a split, [n, classes]."""
    path = self.path / 'logits.npz'
    return npz.read(path, (split,), self.path)[split]

  @led
  def forget(self, facts: Mapping[str, Any]) -> None:
    """Removes all but the numbers, and adds `facts` to them."""
    result = {**self.result(), **facts}
    files.write_json(self.path / 'result.json', result)
    # First what says that there is a model.
    (self.path / '_METADATA').unlink(missing_ok=True)
    for entry in self.path.iterdir():
      if entry.name != 'result.json':
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _by_path(mask: Mask) -> dict[str, np.ndarray]:
  return {
    jax.tree_util.keystr(path, simple=True, separator='/'): np.asarray(leaf)
    for path, leaf in jax.tree.leaves_with_path(to_host(mask))
  }


def _short(value: Any) -> str:
  text = 'not set' if value is None else str(value)
  return text if len(text) <= 60 else f'{text[:57]}...'
