#!/bin/bash
# `make check-hf`: loads what `blockformer convert --to hf` writes with Hugging Face's transformers,
# in a Python environment that is made first (a few minutes and GB), and compares it with the program
# and with golden files. Arguments are those of check_hf.py, which says how. BUILD: the folder of the
# program; PYTHON: a Python of 3.10 or later. Exit code 3: PyPI is not reachable, or that Python is
# not there, and nothing was compared.
set -euo pipefail
cd "$(dirname "$0")/../.."

environment=build/hf-venv
requirements=scripts/dev/hf_requirements.txt
stamp=$environment/requirements.txt
if ! cmp --quiet "$stamp" "$requirements"; then
  python=${PYTHON:-python3}
  if ! "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))'; then
    echo "check_hf.sh: $python: is not Python 3.10 or later with venv" >&2
    exit 3
  fi
  rm -rf "$environment"
  "$python" -m venv "$environment"
  pip=("$environment/bin/python" -m pip --disable-pip-version-check)
  # Small, and wanted anyway: quicker to fail than all of them.
  if ! "${pip[@]}" --retries 1 --timeout 20 download --quiet --no-deps --dest "$environment/probe" \
    "$(grep '^safetensors==' "$requirements")"; then
    echo "check_hf.sh: PyPI is not reachable, see above" >&2
    exit 3
  fi
  rm -r "$environment/probe"
  echo "Installing torch, transformers and lm_eval into $environment"
  "${pip[@]}" install --quiet --requirement "$requirements"
  cp "$requirements" "$stamp"
fi
program=${BUILD:-build/release}/blockformer
"$environment/bin/python" -B scripts/dev/check_hf.py --program "$program" "$@"
"$environment/bin/python" -B scripts/dev/check_lm_eval.py --program "$program"
