#!/bin/bash
# Compiles and links the CUDA plugin and runs its tests on the emulated device; says so where NVIDIA's
# toolkit is not there.
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! command -v nvcc >/dev/null && [[ ! -x /usr/local/cuda/bin/nvcc ]]; then
  echo "The CUDA plugin is not built and not tested: nvcc is not there."
  exit 0
fi
cmake --preset cuda
cmake --build build/cuda --parallel "$(scripts/jobs.sh)" --target blockformer_cuda cuda_test \
  cuda_planted_test cuda_contract_test golden_engine_test
ctest --test-dir build/cuda --parallel "$(scripts/jobs.sh)" --output-on-failure --no-tests=error \
  --tests-regex '^cuda\.'
