#!/bin/bash
# Puts what a machine with a GPU needs to run scripts/gpu_check.sh into one folder: the program, the
# plugin, the tests for a device, the shared libraries that these need but for the C library and CUDA's,
# recipes and golden files. Nothing is built there.
#
#   scripts/gpu_carry.sh [FOLDER]    build/gpu-carry without one
#   EMULATED=1 scripts/gpu_carry.sh  the same for the emulated device, to rehearse
set -euo pipefail
cd "$(dirname "$0")/.."
build=build/cuda
folder=${1:-build/gpu-carry}
mark=.gpu-carry  # lies in a folder that this script has made
goldens=${BLOCKFORMER_GOLDEN_DIR:-../shared/golden}
if [[ ${EMULATED-} == 1 ]]; then
  tests=(cuda_test cuda_contract_test)
  plugin=$build/emulated/libblockformer_cuda.so
else
  tests=(cuda_device_test cuda_device_contract_test)
  plugin=$build/libblockformer_cuda.so
fi
if [[ -e $folder && ! -e $folder/$mark && -n $(ls -A "$folder") ]]; then
  echo "$folder: was not made by this script, which replaces all of it; name another, or remove it" >&2
  exit 2
fi
nice cmake --build $build --parallel "$(scripts/jobs.sh)" --target blockformer golden_engine_test \
  blockformer_cuda blockformer_cuda_emulated_plugin "${tests[@]}"

rm -rf "$folder"
mkdir -p "$folder"/{bin,lib,recipes,golden}
touch "$folder/$mark"
cp $build/blockformer $build/tests/golden/golden_engine_test "$folder/bin"
for i in 0 1; do
  names=(kernels_test contract_test)
  found=$(find $build/tests -type f -name "${tests[i]}" | head -n 1)
  cp "$found" "$folder/bin/${names[i]}"
done
cp "$plugin" "$folder/bin"
cp scripts/gpu_check.sh "$folder"
cp recipes/paper/base.yaml recipes/paper/block_main_*.yaml recipes/paper/vanilla_*.yaml recipes/small/*_5m.yaml "$folder/recipes"
if [[ -d $goldens ]]; then cp "$goldens"/{block,vanilla}_*.safetensors "$folder/golden"; fi
# The closure of shared libraries; the machine has its own C library, driver and CUDA.
ldd "$folder"/bin/* | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | sort -u |
  grep -vE '/(libc|libm|libdl|librt|libpthread|ld-linux-x86-64|libcublas.*|libcuda.*)\.so' |
  while read -r library; do cp -L "$library" "$folder/lib"; done
strip --strip-unneeded "$folder"/bin/* "$folder"/lib/* 2>/dev/null || true
du -sh "$folder"
tar -C "$folder" -cf - . | zstd -q -10 | wc -c | awk '{printf "%.1f MB compressed\n", $1 / 1e6}'
