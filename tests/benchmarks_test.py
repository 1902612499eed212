"""What is timed side by side is the same work; figures are what they say."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest

torch = pytest.importorskip(
  'torch', reason='PyTorch is not installed: pip install -e ".[bench]"'
)

from benchmarks import (  # noqa: E402
  ahead,
  growth,
  kernels,
  plot,
  processes,
  run,
  selection,
  steps,
)
from benchmarks.result import Result  # noqa: E402

RESULT = Result('a/b', (2.0, 3.0, 8.0), 'PyTorch', (1.0, 2.0, 2.0), 1.6)


def test_a_ratio_is_the_median_of_the_pairs():
  assert RESULT.ratio == 2.0
  assert RESULT._replace(ours=(2.0, 3.0, 1.0)).ratio == 1.5


def test_a_target_is_met_up_to_it():
  assert RESULT.met is False
  assert RESULT._replace(target=2.0).met is True
  assert RESULT._replace(target=None).met is None


def test_a_line_says_all():
  assert RESULT.line() == (
    'a/b: 3 s · PyTorch 2 s · ratio 2.00 (1.50 to 4.00, n = 3) · '
    'target 1.6 missed'
  )


def test_both_select_the_same():
  gradient = selection.gradient_of(4)
  ours = selection.ours_on(gradient, 100)()
  theirs = selection.theirs_on(gradient, 100)
  for name, other in theirs.items():
    for mask, found in zip(ours.values(), other(), strict=True):
      np.testing.assert_array_equal(mask, found, err_msg=name)


def test_kernels_are_told_apart_by_their_names():
  found = kernels.by_kind(
    {
      'sm90_xmma_fprop_implicit_gemm': (3, 3.0),
      'loop_convert_fusion': (2, 2.0),
      'input_reduce_fusion_3': (1, 1.0),
      'MemcpyD2D': (1, 0.5),
      'loop_add_fusion': (1, 0.25),
    }
  )
  assert {kind: seconds for kind, (seconds, _) in found.items()} == {
    'convolutions and products': 3.0,
    'sums': 1.0,
    'copies': 0.5,
    'all else': 2.25,
  }


def test_kernels_of_a_program_are_counted_by_its_text():
  program = """
%fused (p: f32[2]) -> f32[2] {
  ROOT %copy.9 = f32[2]{0} copy(%p)
}

%turn (p: (f32[2])) -> (f32[2]) {
  %a = f32[2]{0} fusion(%p), kind=kLoop, calls=%fused
  ROOT %b = (f32[2]{0}, u32[]) fusion(%a), kind=kLoop, calls=%fused
}

%until (p: (f32[2])) -> pred[] {
  ROOT %i = pred[] fusion(%p), kind=kLoop, calls=%fused
}

%r (p: f32[2]) -> f32[2] {
  %c = f32[2]{0} copy(%p)
  ROOT %d = f32[2]{0} fusion(%c), kind=kLoop, calls=%fused
}

%u (p: f32[2]) -> f32[2] {
  ROOT %e = f32[2]{0} copy(%p)
}

ENTRY %main (p: f32[2]) -> f32[2] {
  %f = f32[2]{0} custom-call(%p), custom_call_target="x"
  %g = (f32[2]{0}) while(%f), condition=%until, body=%turn
  ROOT %h = pred[] conditional(%g), true_computation=%r, false_computation=%u
}
"""
  found = ahead.kernels(program)
  assert found == {'outside': 2, 'loops': [3], 'in_all': 7}


def test_both_take_the_same_steps():
  # So heavy that the term is seen in the loss after a step or two.
  ours, theirs = steps.sides(4, 8, js_weight=30.0, compiled=False)
  for _ in range(3):
    _, metrics = ours()
    np.testing.assert_allclose(metrics['loss'], theirs(), rtol=1e-3)


def test_a_square_grows_with_exponent_2():
  found = growth.exponent('a', [(1, 1.0), (10, 100.0), (100, 10000.0)])
  assert found.ratio == pytest.approx(2.0)
  assert not found.met


def test_the_command_writes_json(tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(run, '_benchmark', lambda name: lambda quick: [RESULT])
  monkeypatch.setattr(run, '_rates', dict)
  file = tmp_path / 'out.json'
  run.main(['steps', '--json', str(file)])
  assert RESULT.line() in capsys.readouterr().out
  found = json.loads(file.read_text())
  assert found['machine']['jax'] == jax.__version__
  (result,) = found['results']
  assert (result['benchmark'], result['ratio']) == ('steps', 2.0)
  if sys.platform == 'linux':
    assert result['peak_memory_bytes'] > 2**20


@pytest.mark.skipif(sys.platform != 'linux', reason='/proc is of Linux')
def test_memory_is_the_most_since_it_was_asked_before():
  # A process of its own: this one may keep what is freed.
  code = (
    'import numpy; from benchmarks import run; numpy.ones(2**25);'
    'print(run._most_memory() - run._most_memory())'
  )
  said = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert 2**27 < int(said.stdout) < 2**29


def test_an_unknown_name_is_refused(capsys):
  with pytest.raises(SystemExit) as stopped:
    run.main(['step'])
  assert stopped.value.code == 2
  assert 'no benchmark step; there are selection' in capsys.readouterr().err


def test_growth_is_drawn(tmp_path):
  found = growth.exponent('growth/data, an epoch', [(1, 1.0), (10, 9.0)])
  source, target = tmp_path / 'out.json', tmp_path / 'growth.png'
  source.write_text(json.dumps({'results': [found.to_json()]}))
  plot.main(str(source), str(target))
  assert target.read_bytes().startswith(b'\x89PNG')


def test_what_is_predicted_has_a_least_ratio_too():
  found = RESULT._replace(target=4.0, least=2.5)
  assert found.met is False and found._replace(least=1.5).met is True
  assert 'target 2.5 to 4 missed' in found.line()


def test_the_peak_of_a_process_is_its_own():
  held = b'x' * 2**28
  peak = processes.run('-c', 'pass').peak
  assert 0 < peak < len(held) / 2


def test_a_process_that_fails_says_what_it_said():
  with pytest.raises(RuntimeError, match='so it is'):
    processes.run('-c', 'raise SystemExit("so it is")')
