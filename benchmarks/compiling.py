"""The launcher, and how long it compiled: python -m benchmarks.compiling ...

Takes the launcher's arguments. Prints last the seconds of tracing and compiling
in the whole process.
"""

import runpy
import sys

from jaxunlearn import clock

if __name__ == '__main__':
  whole, code = clock.Clock(), 0
  with whole.measure('running'):
    try:
      runpy.run_module('jaxunlearn.launch', run_name='__main__')
    except SystemExit as stopped:
      code = stopped.code
  print(whole.seconds['compile'])
  sys.exit(code)
