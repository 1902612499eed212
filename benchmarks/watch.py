"""Runs a command: python benchmarks/watch.py FILE COMMAND ...

Writes the seconds that it took and its peak of resident bytes to FILE. This is
a process of its own, and a small one, because what Linux counts as the peak of
a process is at least what its parent had.
"""

import json
import os
import sys
import time


def main(file: str, *command: str) -> int:
  """Runs the command and gives its exit code."""
  start = time.perf_counter()
  child = os.fork()
  if not child:
    os.execv(command[0], command)
  # wait4 alone says what this one process used.
  _, status, usage = os.wait4(child, 0)
  seconds = time.perf_counter() - start
  with open(file, 'w') as out:
    json.dump({'seconds': seconds, 'peak': usage.ru_maxrss * 1024}, out)
  return os.waitstatus_to_exitcode(status)


if __name__ == '__main__':
  sys.exit(main(*sys.argv[1:]))
