#!/usr/bin/env bash
# Runs an experiment on this machine. Makes .venv where there is none.
#
#   bash launch/local.sh                                 the main job, on digits
#   bash launch/local.sh --config=configs/NAME.py [--config.KEY=VALUE ...]
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/venv.sh ''

case " $* " in
  *" --config="* | *" --config "*) ;;
  *) set -- --config=configs/digits_topk.py "$@" ;;
esac
exec .venv/bin/python -m jaxunlearn.launch "$@"
