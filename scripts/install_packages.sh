#!/bin/bash
# Installs the Debian 12 packages that are missing, and says which; silent when all are there.
#
#   scripts/install_packages.sh          to build, test and run
#   scripts/install_packages.sh lint     to check the sources with `make lint`
#   scripts/install_packages.sh cross    to compile for AArch64 and emulate it
#   scripts/install_packages.sh clang    for `make test-tsan` and `make fuzz`
#   scripts/install_packages.sh harness  to compare with lm-evaluation-harness
#   scripts/install_packages.sh --list   prints the packages' names and installs nothing
set -euo pipefail

build_packages=(
  g++ cmake ninja-build pkg-config
  ccache                  # other builds, such as the wheel, compile only what differs
  python3                 # the scripts of tests, lint and quickstart; standard library only
  libcli11-dev            # command line
  libspdlog-dev           # log, and with it libfmt-dev
  nlohmann-json3-dev      # JSON
  libyaml-cpp-dev         # YAML recipes
  libpcre2-dev            # the tokenizer's patterns
  libutf8proc-dev         # Unicode NFC
  libzstd-dev zlib1g-dev  # compressed corpora
  libhwy-dev              # Highway: SIMD kernels
  libboost1.81-dev        # Asio and Beast: the server
  libssl-dev              # its TLS
  libbenchmark-dev        # Google Benchmark: `blockformer bench kernels`
  libtorch-dev            # the trainer
  libdnnl-dev             # oneDNN: its matrix products on a CPU
  libgloo-dev             # its processes' exchange
  libopenblas-openmp-dev  # its matrix products; this flavour shares OpenMP's threads
  gnuplot-nox             # plots of sweeps and benchmarks
  libgtest-dev libgmock-dev
)
lint_packages=(
  clang-format-16 clang-tidy-16 shellcheck flake8
  libomp-16-dev           # omp.h for clang
)
clang_packages=(
  clang-16 libclang-rt-16-dev
  libomp-16-dev           # omp.h for clang
  llvm-16                 # names and lines in the sanitizers' reports
)
cross_packages=(g++-aarch64-linux-gnu qemu-user-static)
harness_packages=(python3-torch python3-numpy python3-venv)

fail() {
  echo "install_packages.sh: $*" >&2
  exit 1
}

list_only=no
groups=()
for argument in "$@"; do
  case $argument in
    --list) list_only=yes ;;
    build | lint | clang | cross | harness) groups+=("$argument") ;;
    *) fail "'$argument' is not known; use build, lint, clang, cross, harness or --list" ;;
  esac
done

wanted=("${build_packages[@]}")
if [[ " ${groups[*]-} " == *" lint "* ]]; then wanted+=("${lint_packages[@]}"); fi
if [[ " ${groups[*]-} " == *" clang "* ]]; then wanted+=("${clang_packages[@]}"); fi
if [[ " ${groups[*]-} " == *" cross "* ]]; then wanted+=("${cross_packages[@]}"); fi
if [[ " ${groups[*]-} " == *" harness "* ]]; then wanted+=("${harness_packages[@]}"); fi
if [[ $list_only == yes ]]; then
  printf '%s\n' "${wanted[@]}"
  exit 0
fi

if ! command -v apt-get >/dev/null; then
  fail "apt-get is not here: this is not Debian. Install what gives these Debian 12 packages:" \
    "${wanted[*]}"
fi

installed=$(dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' "${wanted[@]}" \
  2>/dev/null || true)
missing=()
for package in "${wanted[@]}"; do
  if ! grep -qxF "installed $package" <<<"$installed"; then missing+=("$package"); fi
done
if [[ ${#missing[@]} == 0 ]]; then exit 0; fi

as_root=()
if [[ $(id -u) != 0 ]]; then
  command -v sudo >/dev/null ||
    fail "as root, install the missing packages: apt-get install ${missing[*]}"
  as_root=(sudo)
fi
apt_get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get --yes --quiet)
install=("${apt_get[@]}" install --no-install-recommends "${missing[@]}")

echo "Installing Debian packages: ${missing[*]}"
# Package lists may be absent or name versions that the mirror no longer holds.
if ! apt-cache show --no-all-versions "${missing[@]}" >/dev/null 2>&1 || ! "${install[@]}"; then
  "${apt_get[@]}" update
  "${install[@]}" ||
    fail "apt-get failed, see above; the packages are those of Debian 12 (bookworm)"
fi
