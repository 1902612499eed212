#!/usr/bin/env bash
# Runs one experiment by several processes of this machine, which find each
# other over loopback. Makes .venv where there is none. For CPUs: one process
# takes all GPUs of a machine, so there launch/local.sh does.
#
#   bash launch/processes.sh COUNT --config=configs/NAME.py [--config.KEY=VALUE ...]
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:-}
if ! [[ $count =~ ^[1-9][0-9]{0,3}$ ]]; then
  echo "jaxunlearn: how many processes? bash launch/processes.sh COUNT --config=FILE" >&2
  exit 2
fi
shift
. launch/venv.sh ''

port=$(.venv/bin/python -c '
import socket
with socket.socket() as free:
  free.bind(("localhost", 0))
  print(free.getsockname()[1])')

started=()
trap 'kill -TERM "${started[@]}" 2>/dev/null || true' INT TERM
for ((index = 0; index < count; index++)); do
  .venv/bin/python -m jaxunlearn.launch "$@" \
    --config.hosts.coordinator="localhost:$port" \
    --config.hosts.count="$count" --config.hosts.index="$index" &
  started+=($!)
done

# When one dies the others end within twice hosts.heartbeat_timeout_seconds. A
# mistake, code 2, tells more than how the others ended for it.
worst=0
for process in "${started[@]}"; do
  code=0
  wait "$process" || code=$?
  # A signal ends the wait; it was passed on, and the process ends in its turn.
  while kill -0 "$process" 2>/dev/null; do
    code=0
    wait "$process" || code=$?
  done
  if ((code == 2 || worst == 0)); then
    worst=$code
  fi
done
if ((worst != 0 && worst != 2 && worst != 75)); then
  echo "jaxunlearn: a process of this run has died (exit code $worst) and the" \
    "others have ended: the same command goes on from the last checkpoint." >&2
fi
exit "$worst"
