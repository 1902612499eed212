import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxunlearn import predict
from jaxunlearn.types import Model


def counted(task):
  """The task's model, and the batch shapes it was traced for."""
  traces = []

  def apply(variables, image, train, key=None):
    traces.append(image.shape)
    assert not train and key is None
    return task.model.apply(variables, image, train)

  return Model(task.model.init, apply, task.model.order), traces


@pytest.mark.parametrize('batch_size', [1, 7, 30, 500])
def test_each_example_once_in_order(plain_task, batch_size):
  model, traces = counted(plain_task)
  retain = plain_task.retain
  found = predict.logits(model, plain_task.original, retain, batch_size)
  expected, _ = plain_task.model.apply(
    plain_task.original, jnp.asarray(retain['image']), False
  )
  assert found.shape == (30, 3)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
  # Padded, so that one program serves all; and never more than there are.
  assert traces == [(min(batch_size, 30), 4, 4, 1)]


def test_a_second_call_compiles_nothing(plain_task):
  model, traces = counted(plain_task)
  other = jax.tree.map(lambda x: 2 * x, plain_task.original)
  for variables in (plain_task.original, other):
    predict.logits(model, variables, plain_task.retain, 7)
    predict.logits(model, variables, plain_task.forget, 7)
  assert len(traces) == 1


def test_an_example_is_not_changed_by_its_batch(plain_task):
  short = {k: v[:9] for k, v in plain_task.retain.items()}
  whole = predict.logits(plain_task.model, plain_task.original, short, 4)
  shorter = {k: v[:5] for k, v in plain_task.retain.items()}
  part = predict.logits(plain_task.model, plain_task.original, shorter, 4)
  np.testing.assert_array_equal(whole[:5], part)
