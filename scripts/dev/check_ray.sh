#!/bin/bash
# `make check-ray`: runs python/examples/ray_batch.py on this machine, with Ray from PyPI and the wheel
# that check_python.sh has built, in an environment that is made first; check_ray.py says what is checked.
# BUILD: the folder of the program. Exit code 3: PyPI is not reachable, and nothing was checked.
set -euo pipefail
cd "$(dirname "$0")/../.."

environment=build/ray-venv
stamp=$environment/requirements.txt
requirements="ray[data]==2.60.0"
pip=("$environment/bin/python" -m pip --disable-pip-version-check)
if [[ ! -e $stamp || $(cat "$stamp") != "$requirements" ]]; then
  rm -rf "$environment"
  "${PYTHON:-python3}" -m venv "$environment"
  if ! "${pip[@]}" --retries 1 --timeout 20 install --quiet "$requirements"; then
    echo "check_ray.sh: PyPI is not reachable, see above" >&2
    exit 3
  fi
  echo "$requirements" >"$stamp"
fi
"${pip[@]}" install --quiet --force-reinstall --no-deps build/wheels/*.whl
"${pip[@]}" install --quiet build/wheels/*.whl  # what it needs, if that is missing
exec "$environment/bin/python" -B scripts/dev/check_ray.py --program "${BUILD:-build/release}/blockformer" "$@"
