#!/usr/bin/env bash
# The readers of untrusted files, and the report, on many made-up examples.
#   bash launch/fuzz.sh [EXAMPLES]     of each test; 5,000 by default
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/venv.sh '[test]'

export JAX_PLATFORMS=cpu JAXUNLEARN_EXAMPLES=${1:-5000}
.venv/bin/python -m pytest tests -m fuzz -n 2 --durations=0
