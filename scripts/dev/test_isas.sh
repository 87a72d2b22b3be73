#!/bin/bash
# Runs tests again on lesser instruction sets than this processor's best, which has been tested:
# everything with arithmetic limited to AVX2, and the kernels to the portable code.
#
#   CTEST="ctest ..." scripts/dev/test_isas.sh
set -euo pipefail

has() { grep -qw -m1 "$1" /proc/cpuinfo; }

if ! has avx2; then
  echo "The best instruction set here is the portable one, which has been tested."
  exit
fi
BLOCKFORMER_ISA=portable $CTEST --label-exclude slow --tests-regex '^kernels\.'
if ! has avx512f; then
  echo "The best instruction set here is AVX2, which has been tested: not run a second time."
  exit
fi
BLOCKFORMER_ISA=avx2 $CTEST --label-exclude slow \
  --tests-regex '^(kernels|cpu|engine|eval|bench|cli|train|golden\.(engine|eval|train))\.'
