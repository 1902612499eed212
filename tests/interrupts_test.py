import os
import signal

import pytest

from jaxunlearn import interrupts


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_noted_and_the_handler_goes_again(number, capfd):
  before = signal.getsignal(number)
  with interrupts.noted() as noted:
    assert not noted()
    os.kill(os.getpid(), number)
    # To a process and its group at once, it is one signal.
    os.kill(os.getpid(), number)
    assert noted()
  assert signal.getsignal(number) is before
  assert capfd.readouterr().err.count('stopping at the next step') == 1


def test_a_second_signal_stops_at_once(monkeypatch):
  monkeypatch.setattr(interrupts, '_ONE_SECONDS', 0.0)
  with interrupts.noted(), pytest.raises(KeyboardInterrupt):
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
