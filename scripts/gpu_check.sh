#!/bin/bash
# Checks and measures blockformer on a machine with a GPU, in the folder that scripts/gpu_carry.sh made.
# Each stage has a time limit, a failure ends its stage alone, and a line of JSON for each is appended to
# the results; logs lie beside them.
#
#   ./gpu_check.sh [RESULTS]      a folder, ./results without one
#   SHORT=1 ./gpu_check.sh        small models alone, as on the emulated device
set -uo pipefail
cd "$(dirname "$0")" || exit 1
results=${1:-results}
mkdir -p "$results"
export LD_LIBRARY_PATH=$PWD/lib:${LD_LIBRARY_PATH-}:/usr/local/cuda/lib64
export BLOCKFORMER_CUDA=$PWD/bin/libblockformer_cuda.so
export BLOCKFORMER_GOLDEN_DIR=$PWD/golden
failed=0

# stage NAME LIMIT COMMAND...: runs the command for at most LIMIT seconds.
stage() {
  local name=$1 limit=$2 start end code
  shift 2
  start=$(date +%s.%N)
  timeout --kill-after=5 "$limit" "$@" >"$results/$name.log" 2>&1
  code=$?
  end=$(date +%s.%N)
  if [[ $code != 0 ]]; then failed=1; fi
  printf '{"stage": "%s", "exit_code": %d, "seconds": %.2f, "limit": %d}\n' "$name" "$code" \
    "$(awk "BEGIN {print $end - $start}")" "$limit" | tee -a "$results/stages.jsonl"
}

bench() {
  local name=$1 limit=$2 recipe=$3 prompt=$4 generate=$5 batch=$6
  shift 6
  stage "bench-$name" "$limit" bin/blockformer bench throughput "recipes/$recipe.yaml" \
    --device cuda --prompt "$prompt" --generate "$generate" --batch "$batch" --force \
    --json "$results/$name.json" "$@"
}

if command -v nvidia-smi >/dev/null; then stage card 10 nvidia-smi; fi
stage loader 30 bin/blockformer bench throughput recipes/block_5m.yaml --device cuda --prompt 16 \
  --generate 16 --batch 1 --force --json "$results/loader.json"
stage kernels 60 bin/kernels_test --gtest_shuffle
stage contract 120 bin/contract_test
if compgen -G 'golden/*.safetensors' >/dev/null; then stage goldens 60 bin/golden_engine_test; fi
if command -v compute-sanitizer >/dev/null; then
  stage memcheck 45 compute-sanitizer --error-exitcode 9 bin/kernels_test
  stage racecheck 45 compute-sanitizer --tool racecheck --error-exitcode 9 bin/kernels_test \
    '--gtest_filter=*Normalizes*:*Filters*:*Biases*'
fi
if [[ ${SHORT-} == 1 ]]; then
  bench small-block 120 block_5m 16 16 2 --dtype bf16 --kv-dtype int8
  exit $failed
fi
for kv in f16 int8; do
  bench "block-5m-decode-$kv" 30 block_main_b4_5 128 2048 8192 --dtype bf16 --kv-dtype $kv
  bench "block-19m-decode-$kv" 30 block_main_b4_19 128 2048 8192 --dtype bf16 --kv-dtype $kv
  bench "block-85m-decode-$kv" 40 block_main_b4_85 128 2048 4096 --dtype bf16 --kv-dtype $kv
  bench "block-300m-decode-$kv" 60 block_main_b4_300 128 2048 2048 --dtype bf16 --kv-dtype $kv
done
bench block-85m-prefill 60 block_main_b4_85 2048 128 4096 --dtype bf16 --kv-dtype f16
bench vanilla-160m-decode 60 vanilla_160 128 2048 512 --dtype bf16 --kv-dtype f16
bench vanilla-70m-decode 40 vanilla_70 128 2048 1024 --dtype bf16 --kv-dtype f16
exit $failed
