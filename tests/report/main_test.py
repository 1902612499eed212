import json
import subprocess
import sys

import pytest

from jaxunlearn import report as package
from jaxunlearn.locks import alone_in
from jaxunlearn.report.__main__ import main


def refused(capsys, *arguments):
  assert main(arguments) == 2
  out, err = capsys.readouterr()
  assert not out and err.startswith('jaxunlearn: ')
  assert err.count('\n') == 1 and err.endswith('.\n')
  return err


def test_a_matrix_is_drawn_and_its_files_are_told(make_matrix, capsys):
  folder = make_matrix('MIXED', ['table2', 'figure8'])
  assert main([str(folder)]) == 0
  out, err = capsys.readouterr()
  assert not err
  names = ['figures/accuracy.png', 'figures/curves.png', 'report.md']
  names = [f'cells/resnet18-10-0/{x}' for x in (*names, 'report.json')]
  names += ['tables/table2.md', 'tables/table2.csv', 'tables/table2.tex']
  names += ['figures/figure8.png', 'report.md']
  assert out.splitlines() == [str(folder / name) for name in names]


def test_one_run_is_drawn_and_its_files_are_told(
  report, history, tmp_path, capsys
):
  package.write(tmp_path, report, history)
  # As the launcher writes it: a run is no matrix.
  (tmp_path / 'config.json').write_text('{"matrix": {}}')
  (tmp_path / 'report.md').unlink()
  assert main([str(tmp_path)]) == 0
  out = capsys.readouterr().out.splitlines()
  # Without metrics.jsonl there are no curves.
  names = ['figures/accuracy.png', 'report.md', 'report.json']
  assert out == [str(tmp_path / name) for name in names]
  assert (tmp_path / 'report.md').is_file()


def test_help_is_given(capsys):
  assert main(['--help']) == 0
  assert 'python -m jaxunlearn.report WORKDIR' in capsys.readouterr().out


@pytest.mark.parametrize('arguments', [[], ['a', 'b']])
def test_one_folder_is_wanted(capsys, arguments):
  assert 'give one workdir' in refused(capsys, *arguments)


def test_what_is_no_folder_is_refused(tmp_path, capsys):
  assert 'is no folder' in refused(capsys, str(tmp_path / 'nosuch'))


def test_a_folder_without_a_report_is_refused(tmp_path, capsys):
  assert 'holds no report.json' in refused(capsys, str(tmp_path))


@pytest.mark.parametrize(
  'name', ['config.json', 'report.json', 'metrics.jsonl']
)
@pytest.mark.parametrize('content', ['{"x": ', '[1]', '\udcff'])
def test_damaged_files_are_refused(
  report, history, tmp_path, capsys, name, content
):
  package.write(tmp_path, report, history)
  # Whole lines: one that was cut off at the end is left out.
  (tmp_path / name).write_text(content + '\n', errors='surrogateescape')
  assert f'{name} is damaged' in refused(capsys, str(tmp_path))


def test_a_report_of_another_schema_is_refused(report, tmp_path, capsys):
  (tmp_path / 'report.json').write_text(json.dumps(report | {'schema': 2}))
  assert 'report.json is damaged (schema' in refused(capsys, str(tmp_path))


def test_a_folder_that_cannot_be_written_is_refused(
  report, history, tmp_path, capsys, monkeypatch
):
  package.write(tmp_path, report, history)

  def fail(source, target):
    raise OSError(28, 'No space left on device', str(target))

  monkeypatch.setattr('os.replace', fail)
  assert 'No space left on device' in refused(capsys, str(tmp_path))


def test_while_a_run_writes_there_nothing_is_drawn(
  report, history, tmp_path, capsys
):
  package.write(tmp_path, report, history)
  (tmp_path / 'report.md').unlink()
  with alone_in(tmp_path, print):
    assert 'is in use by process' in refused(capsys, str(tmp_path))
  assert not (tmp_path / 'report.md').exists()
  assert main([str(tmp_path)]) == 0
  assert not (tmp_path / '.lock').exists()


def test_it_runs_as_a_module_and_opens_no_device(make_matrix):
  folder = make_matrix('MIXED', ['figure8'])
  code = (
    'import runpy, sys; sys.argv[1:] = [sys.argv[1]]\n'
    'try:\n  runpy.run_module("jaxunlearn.report", run_name="__main__")\n'
    'except SystemExit as end:\n  assert end.code == 0, end\n'
    'from jax._src import xla_bridge\n'
    'assert not xla_bridge.backends_are_initialized()\n'
    'assert "matplotlib.pyplot" not in sys.modules\n'
  )
  subprocess.run([sys.executable, '-c', code, folder], check=True)


def test_the_report_needs_no_jax_of_its_own():
  import ast
  from pathlib import Path

  for path in Path(package.__file__).parent.glob('*.py'):
    for node in ast.walk(ast.parse(path.read_text())):
      names = [a.name for a in getattr(node, 'names', ())]
      assert 'jax' not in [*names, getattr(node, 'module', '')], path.name
