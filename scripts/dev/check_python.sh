#!/bin/bash
# `make check-python`: builds the wheel of python/, installs it into a new Python environment, and runs
# check_python.py there, which says what is checked; arguments are its own. BUILD: the folder of the
# program; JOBS: of the compiler; PYTHON: the Python of the environment. Exit code 3: PyPI is not
# reachable, or that Python is not there, and nothing was checked.
set -euo pipefail
cd "$(dirname "$0")/../.."

python=${PYTHON:-python3}
if ! "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 9))'; then
  echo "check_python.sh: $python: is not Python 3.9 or later with venv" >&2
  exit 3
fi
environment=build/python-venv
wheels=build/wheels
rm -rf "$environment" "$wheels"
"$python" -m venv "$environment"
pip=("$environment/bin/python" -m pip --disable-pip-version-check)
if ! "${pip[@]}" --retries 1 --timeout 20 install --quiet numpy tqdm; then
  echo "check_python.sh: PyPI is not reachable, see above" >&2
  exit 3
fi
# By this name the compiler's cache knows what `make build` has compiled.
CXX=${CXX:-c++} CMAKE_BUILD_PARALLEL_LEVEL=${JOBS:-$(scripts/jobs.sh)} \
  "${pip[@]}" wheel --quiet --no-deps --wheel-dir "$wheels" ./python
"${pip[@]}" install --quiet "$wheels"/*.whl
exec "$environment/bin/python" -B scripts/dev/check_python.py \
  --program "${BUILD:-build/release}/blockformer" "$@"
