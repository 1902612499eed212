import json
import os
import re

import pytest

from jaxunlearn import report as package


def test_all_files_of_a_report_are_there(report, history, tmp_path):
  package.write(tmp_path / 'run', report, history)
  found = sorted(
    str(path.relative_to(tmp_path / 'run'))
    for path in (tmp_path / 'run').rglob('*')
    if path.is_file()
  )
  assert found == [
    'figures/accuracy.png',
    'figures/curves.png',
    'report.json',
    'report.md',
  ]


def test_the_json_is_the_report_in_its_order(report, history, tmp_path):
  package.write(tmp_path, report, history)
  text = (tmp_path / 'report.json').read_text()
  again = json.loads(text)
  assert again == report
  assert list(again['models']) == list(report['models'])
  assert text.startswith('{\n "schema": 1,')


def test_the_page_links_figures_that_exist(report, history, tmp_path):
  package.write(tmp_path, report, history)
  links = re.findall(r'!\[.*\]\(<(.*)>\)', (tmp_path / 'report.md').read_text())
  assert links == ['figures/accuracy.png', 'figures/curves.png']
  assert all((tmp_path / link).is_file() for link in links)


def test_a_wrong_report_writes_nothing(report, history, tmp_path):
  report['models']['top_k']['accuracy']['forget'] = float('nan')
  with pytest.raises(ValueError, match=r'models\.top_k\.accuracy\.forget'):
    package.write(tmp_path / 'run', report, history)
  assert not (tmp_path / 'run').exists()


def test_a_write_that_fails_leaves_the_old_report(
  report, history, tmp_path, monkeypatch
):
  package.write(tmp_path, report, history)
  before = {p: p.read_bytes() for p in tmp_path.rglob('*') if p.is_file()}

  def fail(source, target):
    assert os.path.exists(source)
    raise OSError('disk full')

  monkeypatch.setattr(os, 'replace', fail)
  report['models']['top_k']['accuracy']['test'] = 0.0
  with pytest.raises(OSError, match='disk full'):
    package.write(tmp_path, report, history)
  assert all(path.read_bytes() == data for path, data in before.items())


def test_a_report_may_be_written_again(report, history, tmp_path):
  package.write(tmp_path, report, history)
  report['models']['top_k']['accuracy']['test'] = 0.1
  package.write(tmp_path, report, history)
  assert json.loads((tmp_path / 'report.json').read_text()) == report
