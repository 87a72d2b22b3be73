#!/bin/bash
# `make check-lm-eval`: compares `blockformer eval` with EleutherAI's lm-evaluation-harness, request
# by request, in a Python environment that is made first. Arguments are those of check_lm_eval.py,
# which says how. BUILD: the folder of program and library. Exit code 3: PyPI is not reachable, and nothing
# was compared.
set -euo pipefail
cd "$(dirname "$0")/../.."

environment=build/lm-eval-venv
scripts/dev/make_lm_eval_venv.sh "$environment"
exec "$environment/bin/python" -B scripts/dev/check_lm_eval.py \
  --program "${BUILD:-build/release}/blockformer" \
  --library "${BUILD:-build/release}/libblockformer.so" "$@"
