import types

import jax
import jax.numpy as jnp
import pytest

from jaxunlearn import plan, recipes
from jaxunlearn.errors import Impossible
from jaxunlearn.rows import Row


def test_more_parameters_than_can_be_counted_are_refused_at_the_start():
  leaf = jax.ShapeDtypeStruct((2**16, 2**15), jnp.float32)
  problem = types.SimpleNamespace(
    model=None, forget=None, retain=None, like=lambda: {'params': {'w': leaf}}
  )
  # It selects nothing, and so would have come to its end before it counts.
  row = Row('row', 'finetune', recipes.finetune(), {})
  with pytest.raises(Impossible, match=r'recipes\.row: 2,147,483,648 entries'):
    plan.rehearse(row, problem)
