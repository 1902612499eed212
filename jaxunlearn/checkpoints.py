"""Checkpoints of what is unfinished: written aside, checked when read."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxunlearn import files, fingerprint, machine
from jaxunlearn.errors import Conflict, InputError, Unavailable
from jaxunlearn.hosts import any_of, led, of_first, several, together
from jaxunlearn.types import PyTree

__all__ = ['Checkpoints', 'Saved']

_KEPT = 2
_CONTENT = {
  **{'step': int, 'made_from': dict, 'environment': dict, 'changes': list},
  **{'facts': dict, 'tree_sha256': str},
}


class Saved(NamedTuple):
  """What a checkpoint holds.

  Attributes:
    step: its number.
    tree: arrays of NumPy, in the structure that was asked for.
    facts: what was saved beside them.
    changes: {'step': step, 'what': {what: [then, now]}} for each time that it
      was gone on with where the machine or the versions were not the same.
  """

  step: int
  tree: PyTree
  facts: dict[str, Any]
  changes: list[dict[str, Any]]


class Checkpoints:
  """The last checkpoints of a piece of work, newest and one before.

  A checkpoint is STEP/, written by Orbax, and STEP.json, its manifest, with the
  SHA-256 of its contents: Orbax does not see a flipped bit. The manifest is
  written when STEP/ is whole, so that what has none was cut off and is
  nothing.

  Attributes:
    path: the folder; there while there is a checkpoint.
    made_from: {setting: value}, all that the work depends on.
  """

  def __init__(self, path: Path, made_from: Mapping[str, Any]):
    self.path = path
    self.made_from = made_from
    self._changes, self._whole = [], []
    self._thread = None
    self._writing: Future | None = None

  def recorded(self) -> dict[str, Any] | None:
    """`made_from` and `facts` of the newest; None where there is none."""
    for step in self._steps():
      content = self._manifest(step)
      if content:
        return content
    return None

  def latest(self, like: PyTree, say: Callable[[str], None]) -> Saved | None:
    """The newest checkpoint that is whole.

    What was cut off is named and removed; what is damaged is removed when the
    next one is written.

    Args:
      like: the structure of the tree, with a shape and a dtype for each leaf.
      say: told of each that was cut off, or is damaged.

    Raises:
      Unavailable: one cannot be read now, though it may be whole.
      Conflict: one is whole, and of other arrays.
    """
    steps = of_first(self._steps(), _KEPT + 1)
    cut_off = self._cut_off()
    self._keep(steps)
    for step in cut_off:
      say(f'the checkpoint {self.path / str(step)} was not whole, and removed.')
    for step in steps:
      saved = together(lambda step=step: self._read(step, like))
      (damaged,) = any_of(saved is None)
      if not damaged:
        self._whole, self._changes = [step], saved.changes
        return saved
      last = step == steps[-1]
      say(
        f'the checkpoint {self.path / str(step)} is damaged; '
        f'{"beginning again" if last else "going back to the one before it"}.'
      )
    return None

  def save(self, step: int, tree: PyTree, facts: Mapping[str, Any]) -> None:
    """Writes a checkpoint in a thread of its own.

    Waits for the one before to be written, and for the arrays. Several
    processes write it together, and go on when it is whole.

    Raises:
      InputError: the one before could not be written; those that were are
        left as they are.
    """
    self.wait()
    content = {
      'step': step,
      'shapes': _shapes(tree),
      'made_from': self.made_from,
      'environment': machine.environment(),
      'changes': self._changes,
      'facts': facts,
    }
    # A JSON of its own, because the facts go on changing.
    content = json.loads(json.dumps(content))
    if several():
      self._write(step, tree, content)
      return
    tree = jax.device_get(tree)
    self._thread = self._thread or ThreadPoolExecutor(1)
    self._writing = self._thread.submit(self._write, step, tree, content)

  def wait(self) -> None:
    """Returns when what was saved last is whole.

    Raises:
      InputError: it could not be written.
    """
    writing = self._writing
    if writing is None:
      return
    try:
      writing.result()
    finally:
      # A second Ctrl-C may end the wait; what is being written is so still.
      if writing.done():
        self._writing = None

  def settle(self) -> None:
    """Waits as `wait`, where another mistake is on its way to the user."""
    with contextlib.suppress(Exception):
      self.wait()

  @led
  def remove(self) -> None:
    """Removes all of them, when the work is finished."""
    self.settle()
    files.remove_folder(self.path)

  def _steps(self) -> list[int]:
    """Those with a manifest, the newest first."""
    found = self.path.glob('[0-9]*.json')
    return sorted(int(x.stem) for x in found if x.stem.isdigit())[::-1]

  def _cut_off(self) -> list[int]:
    """Those that were begun after the newest that has a manifest."""
    names = {x.name.split('.')[0] for x in self.path.glob('[0-9]*')}
    newest = max(self._steps(), default=-1)
    return sorted(
      x for x in map(int, filter(str.isdecimal, names)) if x > newest
    )

  def _write(self, step: int, tree: PyTree, content: dict[str, Any]) -> None:
    from jaxunlearn.models import adapters

    folder = self.path / str(step)
    with files.writing(f'the last whole checkpoint in {self.path} is kept'):
      self._keep([x for x in self._steps() if x != step])
      adapters.save(folder, tree)
      content['tree_sha256'] = fingerprint.sha256(tree)
      self._seal(step, content)
    self._whole = [step, *self._whole][:_KEPT]
    self._keep(self._whole)

  @led
  def _seal(self, step: int, content: dict[str, Any]) -> None:
    """Writes the manifest, which makes a checkpoint one."""
    manifest = {'content': content, 'sha256': _sha256(content)}
    files.write_json(self.path / f'{step}.json', manifest)

  @led
  def _keep(self, steps: list[int]) -> None:
    """Removes all but these: a manifest first, for then the rest is nothing."""
    if self.path.is_symlink():
      self.path.unlink()
    kept = {f'{step}.json' for step in steps}
    entries = list(self.path.iterdir()) if self.path.exists() else []
    for entry in entries:
      if entry.is_file() and entry.name not in kept:
        entry.unlink()
    for entry in entries:
      if entry.is_dir() and f'{entry.name}.json' not in kept:
        files.remove_folder(entry)

  def _manifest(self, step: int) -> dict[str, Any] | None:
    """What the manifest says, if it is as it was written."""
    try:
      manifest = files.read_json(self.path / f'{step}.json')
      content = manifest['content']
    except Unavailable:
      raise
    except (InputError, KeyError):
      return None
    whole = manifest.get('sha256') == _sha256(content)
    if not whole or not isinstance(content, dict):
      return None
    kinds = (isinstance(content.get(k), kind) for k, kind in _CONTENT.items())
    return content if all(kinds) else None

  def _read(self, step: int, like: PyTree) -> Saved | None:
    from jaxunlearn.models import adapters

    content = self._manifest(step)
    if content is None:
      return None
    # Older ones do not say.
    wanted, there = _shapes(like), content.get('shapes')
    if there is not None and there != wanted:
      name = next(
        x for x in {**there, **wanted} if there.get(x) != wanted.get(x)
      )
      raise Conflict(
        f'{name} is {wanted.get(name, "not there")} now, but in the checkpoint '
        f'{self.path / str(step)} {there.get(name, "not there")}: go on with '
        'the versions and settings of JAX, Flax and Optax that wrote it, or '
        f'remove {self.path}.'
      )
    try:
      tree = adapters.read_arrays(self.path / str(step), like)
    except Unavailable:
      raise
    except InputError:
      return None
    if fingerprint.sha256(tree) != content['tree_sha256']:
      return None
    then, now = content['environment'], machine.environment()
    changes = {k: [then.get(k), now[k]] for k in now if then.get(k) != now[k]}
    known = content['changes'] + (
      [{'step': step, 'what': changes}] if changes else []
    )
    return Saved(step, tree, content['facts'], known)


def _shapes(tree: PyTree) -> dict[str, str]:
  """{path of an array: its dtype and shape}."""
  return {
    jax.tree_util.keystr(path): f'{np.dtype(leaf.dtype)} {tuple(leaf.shape)}'
    for path, leaf in jax.tree.leaves_with_path(tree)
  }


def _sha256(content: Mapping[str, Any]) -> str:
  text = json.dumps(content, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()
