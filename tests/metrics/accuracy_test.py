import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn import metrics


def test_accuracy_by_hand():
  logits = jnp.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
  found = metrics.accuracy(logits, jnp.array([1, 0, 0, 0]))
  assert found.item() == 0.75 and found.shape == ()


def test_of_equal_logits_the_first_counts():
  logits = jnp.zeros((2, 3))
  assert metrics.accuracy(logits, jnp.array([0, 1])).item() == 0.5


@pytest.mark.parametrize(
  ('before', 'after', 'expected'),
  [
    # Table II: ResNet18, 5 %, Top-K and Retrain.
    (0.9998, 0.8001, 0.1997),
    (1.0, 0.8484, 0.1516),
    (0.5, 0.0, 1.0),
    (0.5, 0.5, 0.0),
    (0.5, 0.75, -0.5),
    (0.0, 0.3, np.nan),
  ],
)
def test_forgetting_rate(before, after, expected):
  found = metrics.forgetting_rate(before, after)
  np.testing.assert_allclose(found, expected, atol=5e-5)


@pytest.mark.parametrize(
  ('retain_after', 'forget_before', 'expected'),
  [
    (0.9854, 0.9998, 0.9856),
    (0.9, 0.9, 1.0),
    (0.9, 0.6, 1.5),
    (0.0, 0.6, 0.0),
    (0.9, 0.0, np.nan),
  ],
)
def test_memory_retention_rate(retain_after, forget_before, expected):
  found = metrics.memory_retention_rate(retain_after, forget_before)
  np.testing.assert_allclose(found, expected, atol=5e-5)
