#!/usr/bin/env bash
# Runs a job of bannermap on Spark; alone, it lists the jobs. The work is done by src/bannermap/launcher, which needs only Python.
set -euo pipefail
home="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export BANNERMAP_HOME="$home"

candidates=(python3 python3.13 python3.12 python3.11 python)
if [ -n "${BANNERMAP_PYTHON:-}" ]; then candidates=("$BANNERMAP_PYTHON"); fi
for python in "${candidates[@]}"; do
  if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    PYTHONPATH="$home/src" exec "$python" -m bannermap.launcher "$@"
  fi
done
echo "bannermap needs Python 3.11 or newer and found none as ${candidates[*]}: install one" \
  "(Debian: apt-get install python3 python3-venv), or name it in BANNERMAP_PYTHON." >&2
exit 2
