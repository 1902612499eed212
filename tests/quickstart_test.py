"""The notebook, as a stranger finds it and as it runs."""

import base64
import os
import pathlib
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).parents[1]
PATH = ROOT / 'launch/quickstart.ipynb'
PNG = b'\x89PNG\r\n\x1a\n'


@pytest.fixture
def notebook():
  return nbformat.read(PATH, as_version=nbformat.NO_CONVERT)


@pytest.fixture(scope='module')
def executed(tmp_path_factory):
  """The notebook, run from the second code cell on."""
  notebook = nbformat.read(PATH, as_version=nbformat.NO_CONVERT)
  notebook.cells.remove(code(notebook)[0])
  temporary = str(tmp_path_factory.mktemp('quickstart'))
  with pytest.MonkeyPatch.context() as patch:
    # The kernel's: its workdir, and no settings or kernels of whoever runs it.
    for name in (
      'TMPDIR',
      'IPYTHONDIR',
      'JUPYTER_CONFIG_DIR',
      'JUPYTER_DATA_DIR',
      'JUPYTER_RUNTIME_DIR',
    ):
      patch.setenv(name, temporary)
    NotebookClient(
      notebook,
      timeout=300,
      kernel_name='python3',
      resources={'metadata': {'path': str(ROOT)}},
    ).execute()
  return {cell.id: cell.outputs for cell in code(notebook)}


def code(notebook):
  return [cell for cell in notebook.cells if cell.cell_type == 'code']


def printed(outputs):
  return ''.join(o.text for o in outputs if o.get('name') == 'stdout')


def test_the_notebook_is_valid_and_for_any_python_3_kernel(notebook):
  nbformat.validate(notebook)
  assert notebook.nbformat == 4
  assert notebook.metadata.kernelspec.name == 'python3'


def test_outputs_are_stripped(notebook):
  for cell in code(notebook):
    assert cell.outputs == [], cell.id
    assert cell.execution_count is None, cell.id
    assert not cell.metadata, cell.id


def install(notebook, monkeypatch, folder):
  """Runs the first cell in `folder`; what it would have run, and where to."""
  commands = []

  def run(command, check):
    assert check
    commands.append([str(word) for word in command])
    if command[0] == 'git':
      command[-1].mkdir()

  monkeypatch.chdir(folder)
  monkeypatch.setattr(subprocess, 'run', run)
  monkeypatch.setattr(sys, 'path', list(sys.path))
  exec(code(notebook)[0].source, {})
  return commands, pathlib.Path.cwd()


@pytest.mark.parametrize('folder', [PATH.parent, ROOT])
def test_the_first_cell_installs_the_clone_it_lies_in(
  notebook, monkeypatch, folder
):
  commands, cwd = install(notebook, monkeypatch, folder)
  pip = [sys.executable, '-m', 'pip', 'install', '--quiet', '--editable']
  assert commands == [[*pip, str(ROOT)]]
  assert cwd == ROOT


def test_without_a_clone_the_first_cell_makes_one_of_the_url(
  notebook, monkeypatch, tmp_path
):
  (git, pip), cwd = install(notebook, monkeypatch, tmp_path)
  assert cwd == tmp_path / 'jaxunlearn'
  assert git[:2] == ['git', 'clone']
  assert git[-2:] == ['https://github.com/jaxunlearn/jaxunlearn', str(cwd)]
  assert pip[-1] == str(cwd)


def test_a_second_run_of_the_first_cell_finds_the_clone_of_the_first(
  notebook, monkeypatch, tmp_path
):
  configs = tmp_path / 'jaxunlearn/configs'
  os.makedirs(configs)
  (configs / 'digits_topk.py').touch()
  commands, cwd = install(notebook, monkeypatch, tmp_path)
  assert [command[0] for command in commands] == [sys.executable]
  assert cwd == tmp_path / 'jaxunlearn'


@pytest.mark.parametrize(
  ('cell', 'rows'),
  [
    ('table', ['original', 'retrained', 'random_k']),
    ('own', ['original', 'retrained', 'random_k', 'mine']),
  ],
)
def test_the_table_has_a_row_a_model(executed, cell, rows):
  head, *lines = printed(executed[cell]).splitlines()
  assert head.split() == [
    *('forget', 'retain', 'test', 'FR', 'MRR', 'similarity')
  ]
  assert [line.split()[0] for line in lines] == rows
  for line in lines:
    rates = [float(rate.removesuffix('%')) for rate in line.split()[1:]]
    assert len(rates) == 6
    assert all(-100 <= rate <= 200 for rate in rates)


def test_each_model_of_the_table_can_classify(executed):
  for line in printed(executed['own']).splitlines()[1:]:
    _, _, retain, *_ = line.split()
    assert float(retain.removesuffix('%')) > 90, line


def test_the_figure_of_the_experiment_is_shown(executed):
  (figure,) = executed['figure']
  image = base64.b64decode(figure.data['image/png'])
  assert image.startswith(PNG)


def test_the_remarks_of_the_experiment_are_printed(executed):
  remarks = printed(executed['remarks'])
  assert 'still holds the original model' in remarks
  assert 'random_top_k' in remarks
