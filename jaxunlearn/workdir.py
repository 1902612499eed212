"""The workdir: the whole truth of a run, stage by stage, on disk."""

import json
import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from jaxunlearn import checks, files
from jaxunlearn.errors import InputError
from jaxunlearn.hosts import led
from jaxunlearn.models import adapters
from jaxunlearn.stage import Stage
from jaxunlearn.types import Variables

__all__ = ['Workdir']

_CUT_OFF = 'last_good/*.orbax-checkpoint-tmp*'


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
    if not checks.is_text(str(self.path)):
      raise InputError(
        f'the workdir {self.path} holds bytes that are no UTF-8: choose '
        'another with --workdir.'
      )
    try:
      self.path.mkdir(parents=True, exist_ok=True)
      tempfile.TemporaryFile(dir=self.path).close()
    except OSError as error:
      raise InputError(
        f'the workdir {self.path} cannot be written ({error.strerror}): '
        'choose another with --workdir.'
      ) from error
    files.check_folders(self.path)

  def stage(self, name: str, made_from: Mapping[str, Any]) -> Stage:
    """The stage of that name, such as `original` or `unlearned/top_k`."""
    return Stage(self.path / name, made_from)

  @led
  def tidy(self) -> None:
    """Removes what was half written when an earlier start was killed."""
    for pattern in ('.making-*', 'unlearned/.making-*', _CUT_OFF):
      for path in self.path.glob(pattern):
        files.remove_folder(path)
    for pattern in ('', 'configs/', 'probes/*/'):
      for path in self.path.glob(f'{pattern}.*.partial'):
        path.unlink()

  @led
  def sweep(self, kept: Collection[str]) -> None:
    """Removes what was begun and will not be gone on with.

    Args:
      kept: models whose last good one is kept.
    """
    for folder in ('.', 'unlearned', 'probes/*'):
      for kind in ('selected', 'unfinished'):
        for path in self.path.glob(f'{folder}/.{kind}-*'):
          files.remove_folder(path)
    for path in self.path.glob('last_good/*'):
      if path.name not in kept:
        self.remove_last_good(path.name)

  def rows(self) -> list[str]:
    """The names of the rows that are finished, sorted."""
    found = self.path.glob('unlearned/[!.]*/result.json')
    return sorted(path.parent.name for path in found)

  @led
  def write_config(self, config: Mapping[str, Any]) -> None:
    """Writes config.json."""
    files.write_json(self.path / 'config.json', config)

  @led
  def log(self, line: Mapping[str, Any]) -> None:
    """Adds a line to metrics.jsonl."""
    with open(self.path / 'metrics.jsonl', 'a', encoding='utf-8') as file:
      file.write(json.dumps(line, allow_nan=False) + '\n')

  def history(self) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl."""
    return files.read_lines(self.path / 'metrics.jsonl')

  @led
  def write_lines(self, model: str, lines: Iterable[Mapping]) -> None:
    """Writes these lines of a model in place of those that are there."""
    kept = [line for line in self.history() if line['model'] != model]
    text = ''.join(json.dumps(line) + '\n' for line in [*kept, *lines])
    files.replace(self.path / 'metrics.jsonl', text)

  def save_last_good(self, name: str, variables: Variables) -> Path:
    """Keeps the last model that was finite before training diverged.

    That of the last epoch, of the checkpoint that was gone on with, which may
    lie within an epoch, or of before the first step.
    """
    self.remove_last_good(name)
    path = self.path / 'last_good' / name
    adapters.save(path, variables)
    return path

  @led
  def remove_last_good(self, name: str) -> None:
    """Removes what `save_last_good` kept, if there is any."""
    path = self.path / 'last_good' / name
    if path.exists():
      shutil.rmtree(path)
      if not any(path.parent.iterdir()):
        path.parent.rmdir()
