#!/bin/bash
# The checks of `make lint`; runs them all and fails if one does. With the argument `fast` those of
# `make lint-fast`: all but clang-tidy, which takes minutes. JOBS: clang-tidy processes.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
status=0

check() {
  echo "== $1"
  shift
  "$@" || status=1
}

check_format() {
  local file clean=0
  while read -r file; do
    clang-format-16 --dry-run -Werror "$file" 2>/dev/null ||
      { echo "$file: not formatted; make format does it"; clean=1; }
  done < <(git ls-files '*.h' '*.cc')
  return "$clean"
}

# Paths of somebody's machine have no place in the project.
check_paths() {
  ! git grep --line-number --extended-regexp '(^|[^[:alnum:]_.-])/(home|root|work)/'
}

# What names its interpreter can be run by its own name.
check_modes() {
  local mode file clean=0
  while read -r mode _ _ file; do
    if [[ $mode == 100644 && $(head -c 2 "$file") == '#!' ]]; then
      echo "$file: begins with #! and is not executable"
      clean=1
    fi
  done < <(git ls-files --stage '*.py' '*.sh')
  return "$clean"
}

# Names that are not defined, not used, or defined twice.
check_python() {
  git ls-files -z '*.py' | xargs --null flake8 --isolated --select F
}

check_tidy() {
  cmake --preset lint >build/lint.log 2>&1 || { cat build/lint.log; return 1; }
  scripts/dev/run_clang_tidy.py build/lint "${JOBS:-$(scripts/jobs.sh)}"
}

mkdir -p build
check "include directions and header guards" scripts/dev/check_includes.py
check "absolute paths" check_paths
check "format" check_format
check "modes" check_modes
check "shell scripts" shellcheck --severity warning --external-sources scripts/*.sh scripts/dev/*.sh scripts/completion.bash .ci/run
check "Python's names" check_python
if [[ ${1:-} != fast ]]; then
  check "clang-tidy (files that have not changed since they were found clean are skipped)" check_tidy
fi
if [[ $status == 0 ]]; then echo "lint: clean"; else echo "lint: see above"; fi
exit "$status"
