#!/bin/bash
# `make check-server`: uses `blockformer serve` with real clients, in a Python environment that is
# made first. Arguments are those of check_server.py, which says how. BUILD: the folder of the
# program. Exit code 3: PyPI is not reachable, and nothing was checked.
set -euo pipefail
cd "$(dirname "$0")/../.."

environment=build/lm-eval-venv
scripts/dev/make_lm_eval_venv.sh "$environment"
pip=("$environment/bin/python" -m pip --disable-pip-version-check)
if ! cmp --quiet "$environment/server_requirements.txt" scripts/dev/server_requirements.txt; then
  if ! "${pip[@]}" --retries 1 --timeout 20 install --quiet \
    --requirement scripts/dev/server_requirements.txt; then
    echo "check_server.sh: PyPI is not reachable, see above" >&2
    exit 3
  fi
  cp scripts/dev/server_requirements.txt "$environment/server_requirements.txt"
fi
exec "$environment/bin/python" -B scripts/dev/check_server.py \
  --program "${BUILD:-build/release}/blockformer" "$@"
