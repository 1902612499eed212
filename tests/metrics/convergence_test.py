import pytest

from jaxunlearn.metrics import converged_epoch


@pytest.mark.parametrize(
  ('accuracies', 'expected'),
  [
    ([], None),
    ([1.0], None),
    ([1.0, 1.0], None),
    ([1.0, 1.0, 1.0], 1),
    # Good enough in 2, but still rising until 3.
    ([0.5, 0.99, 0.995, 0.995, 0.995], 3),
    # A rise within two epochs counts.
    ([0.99, 0.99, 0.995, 0.995, 0.995], 3),
    # A rise of 0.001 is none.
    ([0.99, 0.9909, 0.9909], 1),
    # Never good enough.
    ([0.98] * 10, None),
    # Good enough in the end only, with too few epochs to tell.
    ([0.9, 0.9, 0.99, 0.99], None),
    # A fall is no rise.
    ([0.99, 0.9, 0.9], 1),
  ],
)
def test_converged_epoch(accuracies, expected):
  assert converged_epoch(accuracies, target=1.0) == expected


def test_the_target_scales_and_the_settings_count():
  assert converged_epoch([0.8, 0.8, 0.8], target=0.8) == 1
  assert converged_epoch([0.8, 0.8, 0.8], target=0.9) is None
  assert converged_epoch([0.8, 0.8, 0.8], target=0.9, fraction=0.8) == 1
  rising = [0.99, 0.992, 0.994, 0.996, 0.996]
  assert converged_epoch(rising, 1.0, patience=1) == 4
  assert converged_epoch(rising, 1.0, patience=1, min_gain=0.01) == 1
