#!/usr/bin/env bash
# Runs one experiment by several processes of this machine, which find each
# other over loopback. Makes .venv where there is none.
#
#   bash launch/processes.sh COUNT --config=configs/NAME.py [--config.KEY=VALUE ...]
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/venv.sh ''

count=${1:?how many processes: bash launch/processes.sh COUNT --config=FILE}
shift
port=$(.venv/bin/python -c '
import socket
with socket.socket() as free:
  free.bind(("localhost", 0))
  print(free.getsockname()[1])')

started=()
for ((index = 0; index < count; index++)); do
  .venv/bin/python -m jaxunlearn.launch "$@" \
    --config.hosts.coordinator="localhost:$port" \
    --config.hosts.count="$count" --config.hosts.index="$index" &
  started+=($!)
done
trap 'kill -TERM "${started[@]}" 2>/dev/null || true' INT TERM

# When one dies the others end within twice hosts.heartbeat_timeout_seconds.
worst=0
for process in "${started[@]}"; do
  code=0
  wait "$process" || code=$?
  # A signal ends the wait; it was passed on, and the process ends in its turn.
  while kill -0 "$process" 2>/dev/null; do
    code=0
    wait "$process" || code=$?
  done
  ((worst)) || worst=$code
done
if ((worst != 0 && worst != 2 && worst != 75)); then
  echo "jaxunlearn: a process of this run has died (exit code $worst) and the" \
    "others have ended: the same command goes on from the last checkpoint." >&2
fi
exit "$worst"
