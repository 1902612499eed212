"""Processes that are forked from one that has imported what they need.

Each is one of its own, a second or two sooner than if it began with nothing.
"""

import atexit
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = (
  *('jaxunlearn.experiment', 'jaxunlearn.interrupts', 'configs.common'),
  *('orbax.checkpoint', 'matplotlib.figure', 'sklearn.datasets'),
)


class Forks:
  """Starts programs, one at a time.

  Args:
    env: of all of them, besides what this process has.
  """

  def __init__(self, **env):
    self._parent = subprocess.Popen(
      [sys.executable, '-m', 'tests.forked'],
      cwd=ROOT,
      env=os.environ | env,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )

  def run(self, module, *arguments):
    """What `python -m module` comes to; killed after 15 minutes."""
    with tempfile.TemporaryDirectory() as folder:
      asked = [module, [str(x) for x in arguments], folder]
      self._parent.stdin.write(json.dumps(asked) + '\n')
      self._parent.stdin.flush()
      code = int(self._parent.stdout.readline())
      said = [(Path(folder) / name).read_text() for name in ('out', 'err')]
    return subprocess.CompletedProcess(asked, code, *said)

  def close(self):
    self._parent.communicate()


def main():
  for name in MODULES:
    __import__(name)
  for line in sys.stdin:
    module, arguments, folder = json.loads(line)
    child = os.fork()
    if not child:
      become(folder)
      sys.argv = [module, *arguments]
      end(run(module))
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)


def run(module):
  """The exit code of `python -m module`."""
  try:
    runpy.run_module(module, run_name='__main__', alter_sys=True)
  except SystemExit as left:
    if isinstance(left.code, str):
      print(left.code, file=sys.stderr)
    return left.code if isinstance(left.code, int) else int(bool(left.code))
  except BaseException:
    traceback.print_exc()
    return 1
  return 0


def end(code):
  """As Python ends, without half a second of taking its modules apart."""
  threading._shutdown()
  atexit._run_exitfuncs()
  sys.stdout.flush(), sys.stderr.flush()
  os._exit(code)


def become(folder):
  """Reads nothing, and writes into files of the folder."""
  signal.alarm(900)
  flags = os.O_WRONLY | os.O_CREAT
  for number, file in enumerate((os.devnull, f'{folder}/out', f'{folder}/err')):
    os.dup2(os.open(file, flags if number else os.O_RDONLY), number)


if __name__ == '__main__':
  main()
