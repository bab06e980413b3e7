#!/usr/bin/env bash
# `make verify-deploy`: what can be shown of the files that run the service elsewhere. What a machine lacks is said, and
# the proofs that need it are skipped with that reason: the summary at the end is what was proven and what was not.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  for package in podman runc netavark aardvark-dns debootstrap nginx; do
    dpkg -s "$package" >/dev/null 2>&1 || missing="${missing:-} $package"
  done
  if [ -n "${missing:-}" ]; then
    echo "Installing$missing"
    # shellcheck disable=SC2086 # several words
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing; } \
      >/dev/null 2>&1 </dev/null || echo "could not be installed; going on without"
  fi
fi

# checkov and its like have pins of their own, which must not meet ours.
if [ ! -e .venv/deploy/installed ] || [ requirements-deploy.txt -nt .venv/deploy/installed ]; then
  echo "Installing the pinned packages of requirements-deploy.txt"
  .venv/bin/python -m venv --clear .venv/deploy &&
    .venv/deploy/bin/pip install --quiet --disable-pip-version-check -r requirements-deploy.txt 2>/dev/null &&
    touch .venv/deploy/installed || echo "could not be installed; going on without"
fi

exec .venv/bin/python -m pytest -m deploy -v -ra --durations=10 "$@"
