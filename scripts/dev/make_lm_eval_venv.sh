#!/bin/bash
# Makes a Python environment with EleutherAI's lm-evaluation-harness on Debian's torch, in about a
# minute. Silent when it is there already.
#
#   scripts/dev/make_lm_eval_venv.sh FOLDER
#
# Exit code 3: PyPI is not reachable, so that nothing can be checked here; 1: other failures.
set -euo pipefail

fail() {
  echo "make_lm_eval_venv.sh: $*" >&2
  exit 1
}

[[ $# == 1 ]] || fail "wants one argument, FOLDER, not $#: $*"
folder=$1
scripts=$(cd "$(dirname "$0")" && pwd)
requirements=$scripts/lm_eval_requirements.txt
stamp=$folder/requirements.txt
if cmp --quiet "$stamp" "$requirements"; then exit 0; fi

"$scripts/../install_packages.sh" harness
# Debian's, which sees Debian's torch; another may come first in PATH.
python=/usr/bin/python3
"$python" -c 'import torch' 2>/dev/null || fail "$python: has no torch; python3-torch gives it"
rm -rf "$folder"
"$python" -m venv --system-site-packages "$folder"
pip=("$folder/bin/python" -m pip --disable-pip-version-check)
# Small, and wanted anyway: quicker to fail than all of them.
if ! "${pip[@]}" --retries 1 --timeout 20 download --quiet --no-deps --dest "$folder/probe" \
  "$(grep '^tabulate==' "$requirements")"; then
  echo "make_lm_eval_venv.sh: PyPI is not reachable, see above" >&2
  exit 3
fi
rm -r "$folder/probe"
echo "Installing lm-evaluation-harness and what it needs into $folder"
"${pip[@]}" install --quiet --no-deps --requirement "$requirements"
cp "$requirements" "$stamp"
