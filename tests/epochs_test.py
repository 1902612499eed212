import io

import jax.numpy as jnp
import numpy as np
from rich.console import Console

from jaxunlearn import epochs, loop
from jaxunlearn.clock import Clock
from jaxunlearn.progress import Progress
from jaxunlearn.types import State


class Begun:
  """An attempt that stopped after 2 of 4 steps, each a call."""

  name = 'row'
  lines = ()
  calls = tuple((1, {'loss': np.float32(x)}) for x in (1.0, 2.0))
  state = State({}, (), (), jnp.array(2), None)

  def __init__(self):
    self.clock, self.offered = Clock(), []

  def offer(self, state, calls):
    self.offered.append((int(state.step), sum(steps for steps, _ in calls)))


def test_an_epoch_goes_on_where_calls_have_another_length(monkeypatch):
  monkeypatch.setattr(loop, 'steps_per_call', lambda steps, resident: steps)
  begun = Begun()
  # The rest of the first epoch in one call, and the second in another.
  steps = iter(
    (begun.state._replace(step=jnp.array(step)), {'loss': jnp.float32(loss)})
    for step, loss in ((4, 4.5), (8, 5.0))
  )
  found = epochs.by_epoch(
    steps,
    begun,
    epochs=2,
    epoch_steps=4,
    batch_size=3,
    progress=Progress(Console(file=io.StringIO())),
  )
  first, second = found
  assert (first.number, first.step) == (1, 4)
  assert first.metrics == {'loss': (1 + 2 + 2 * 4.5) / 4}
  assert second.metrics == {'loss': 5.0}
  assert first.examples_per_second > 0
  assert begun.offered == [(2, 2), (4, 0)]
