#!/bin/sh
# Set up a fresh Debian or Ubuntu machine: system packages, then a virtual environment.
# Usage: cluster/setup.sh PYTHON VENV [test]      with `test`, also what only the tests need
set -eu
python=${1:-python3}
venv=${2:-.venv}

say() { printf '%s\n' "setup: $*" >&2; }

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  say "$python is older than Python 3.11; pass another one: make PYTHON=python3.12 setup"
  exit 2
}

missing="" lean=""
command -v bwrap >/dev/null 2>&1 || missing="$missing bubblewrap"
command -v git >/dev/null 2>&1 || missing="$missing git"
if [ "${3:-}" = test ]; then
  ls /usr/lib/postgresql/*/bin/pg_ctl >/dev/null 2>&1 || missing="$missing postgresql"
  # runc, for crun refuses control groups of both versions side by side; catatonit for ordinary users.
  command -v podman >/dev/null 2>&1 || docker info >/dev/null 2>&1 || missing="$missing podman runc catatonit"
  # The review page is tried in a real browser.
  command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
    command -v google-chrome >/dev/null 2>&1 || missing="$missing chromium"
  lean="--no-install-recommends"
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
  sudo=""
  [ "$(id -u)" = 0 ] || sudo="sudo"
  say "installing system packages:$missing"
  export DEBIAN_FRONTEND=noninteractive
  $sudo apt-get update -qq >/dev/null && $sudo apt-get install -y -qq $lean $missing >/dev/null || {
    say "apt-get failed; install these by hand and run make again:$missing"
    exit 2
  }
fi

[ "${3:-}" != test ] || exit 0
[ -x "$venv/bin/python" ] || { say "creating $venv"; "$python" -m venv "$venv"; }
say "installing locked Python packages (a minute or two the first time)"
"$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
"$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
"$venv/bin/python" -m compileall -q orchestration actors cluster  # now, not in every worker's first import

# What sandboxes see of Python: a test runner and scanners, and nothing of Manta itself.
[ -x "$venv/sandbox/bin/python" ] || "$python" -m venv "$venv/sandbox"
"$venv/sandbox/bin/python" -m pip install -q --disable-pip-version-check --require-hashes \
  -r cluster/docker/sandbox.lock
say "ready"
