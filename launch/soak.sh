#!/usr/bin/env bash
# Kills runs on 512 CIFAR-10 images, 5 to 60 seconds after each start, and holds
# what comes of them against a run that nobody killed.
#   bash launch/soak.sh DIR [KILLS]     DIR as of --config.data.dir; 20 kills
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/venv.sh ''
data=${1:?the folder of the TFDS data: bash launch/soak.sh DIR}
kills=${2:-20}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

start() {
  exec .venv/bin/python -m jaxunlearn.launch --config=configs/cifar10_small_topk.py \
    --config.data.dir="$data" --config.data.num_train=512 \
    --config.data.num_test=512 --config.save.seconds=5 --workdir="$1"
}

compare() {
  .venv/bin/python - "$work/whole" "$work/killed" <<'EOF'
import pathlib, sys
from tests.interrupted import outcome
whole, killed = (outcome(pathlib.Path(x)) for x in sys.argv[1:])
if whole != killed:
  sys.exit('The report or the metrics are not those of the run nobody killed.')
print(f'{len(whole[0]["models"])} models, report and metrics as of the run that '
      'nobody killed.')
EOF
}

(start "$work/whole") > /dev/null
done=0
while ((done < kills)); do
  (start "$work/killed") > "$work/log" &
  process=$!
  sleep $((RANDOM % 56 + 5))
  kill -9 $process 2> /dev/null || true
  code=0
  wait $process 2> /dev/null || code=$?
  case $code in
    137)
      done=$((done + 1))
      echo "kill $done: $(tail -n 1 "$work/log")"
      ;;
    0) # It came to its end before.
      compare
      rm -r "$work/killed"
      ;;
    *)
      cat "$work/log"
      exit 1
      ;;
  esac
done
(start "$work/killed") > /dev/null
compare
