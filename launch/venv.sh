# shellcheck shell=bash
# Sourced by the scripts beside it, from the repository's root, with one
# argument: the extras to install, such as [test], or nothing.
if [ ! -x .venv/bin/python ]; then
  python=${PYTHON:-python3}
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "jaxunlearn needs Python 3.11 or newer: set PYTHON to one." >&2
    exit 2
  fi
  "$python" -m venv .venv
fi
# What is installed, so that a second start installs nothing.
wanted="$(cksum pyproject.toml) $1"
if [ "$(cat ".venv/installed$1" 2>/dev/null)" != "$wanted" ]; then
  echo "Installing jaxunlearn$1 into .venv ..."
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".$1"
  echo "$wanted" >".venv/installed$1"
fi
