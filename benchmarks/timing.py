"""Seconds, in turns: a shared machine is slow for both alike."""

import time
from collections.abc import Callable
from typing import Any

import jax


def seconds(work: Callable[[], Any]) -> float:
  """Of one call, until what it gives is there."""
  start = time.perf_counter()
  jax.block_until_ready(work())
  return time.perf_counter() - start


def pairs(
  ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Seconds of each, after one call that is not counted; who is first changes.

  Returns:
    (ours, theirs), `rounds` each.
  """
  seconds(ours), seconds(theirs)
  found = []
  for number in range(rounds):
    if number % 2:
      second = seconds(theirs)
      found.append((seconds(ours), second))
    else:
      found.append((seconds(ours), seconds(theirs)))
  first, second = zip(*found, strict=True)
  return first, second
