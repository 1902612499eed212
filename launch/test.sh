#!/usr/bin/env bash
# Everything that must be green: style, the examples in docstrings, the tests.
# Makes .venv where there is none; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
. launch/venv.sh '[test]'

export JAX_PLATFORMS=${JAX_PLATFORMS:-cpu}
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/python -m pytest --doctest-modules jaxunlearn --doctest-glob='*.md' README.md
.venv/bin/python -m pytest tests -n 2 --dist loadfile "$@"
