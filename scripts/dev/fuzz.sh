#!/bin/bash
# `make fuzz`: runs every fuzz target of a build for some seconds, from the committed corpus and what
# earlier runs found to reach further. An input that breaks one is kept and named at the end, with
# the command that replays it.
#
#   scripts/dev/fuzz.sh BUILD SECONDS [NAME...]    for example: build/fuzz 60 bpe task
set -euo pipefail
cd "$(dirname "$0")/../.."

build=$1
seconds=$2
shift 2
memory_mb=2048  # of the process
input_seconds=10
folder=$build/fuzz  # NAME.corpus, NAME.found and NAME.log of each target
mkdir -p "$folder"
set -a
# shellcheck source=scripts/dev/sanitizers.env
source scripts/dev/sanitizers.env
set +a

names=("$@")
if [[ ${#names[@]} == 0 ]]; then
  for source in tests/fuzz/*_fuzz.cc; do names+=("$(basename "$source" _fuzz.cc)"); done
fi

failed=()
for name in "${names[@]}"; do
  mkdir -p "$folder/$name.corpus" "$folder/$name.found"
  begin=$SECONDS
  "$build/tests/fuzz/${name}_fuzz" -max_total_time="$seconds" -rss_limit_mb=$memory_mb \
    -timeout=$input_seconds -print_final_stats=1 -artifact_prefix="$folder/$name.found/" \
    "$folder/$name.corpus" "tests/fuzz/corpus/$name" >"$folder/$name.log" 2>&1 || failed+=("$name")
  inputs=$(awk '/stat::number_of_executed_units/ {print $2}' "$folder/$name.log")
  echo "$name: $((SECONDS - begin)) s, ${inputs:-?} inputs"
done

for name in "${failed[@]}"; do
  echo
  echo "$name failed; its log is $folder/$name.log"
done
found=("$folder"/*.found/*)
if [[ -e ${found[0]} ]]; then
  echo
  echo "Inputs that break a target, and the commands that replay them:"
  for input in "${found[@]}"; do
    name=$(basename "$(dirname "$input")" .found)
    echo "  $build/tests/fuzz/${name}_fuzz $input"
  done
fi
[[ ${#failed[@]} == 0 && ! -e ${found[0]} ]]
