#!/bin/bash
# Trains a small block and a small vanilla model on your text and evaluates them side by side; about
# an hour and a half on 2 cores with the defaults. Stages that are done are skipped, so an
# interrupted run continues where it was; a newer program does no stage again.
#
#   scripts/evaluate_pair.sh TRAIN VALIDATION TEST [KEY=VALUE...]
#
# TRAIN, VALIDATION, TEST: texts (.txt, .jsonl, .jsonl.zst). KEY=VALUE: settings of both recipes in
# recipes/books/, such as training.steps=200. EVAL_DATA: the folder of the tasks' data, as
# `blockformer eval-data` writes it (eval-data if it is not set); tasks without data there are left
# out. BUILD: the folder of the programs. All output lies in evaluation/.
set -euo pipefail
if [[ $# -lt 3 ]]; then
  sed -n '2,12s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
train_text=$(realpath "$1")
validation_text=$(realpath "$2")
test_text=$(realpath "$3")
settings=("${@:4}")
eval_data=$(realpath "${EVAL_DATA:-eval-data}")
cd "$(dirname "$0")/.."

build=${BUILD:-build/release}
blockformer=$build/blockformer
out=evaluation
stamps=$out/stamps
mkdir -p "$stamps" "$out/data"
# shellcheck source=scripts/stage.sh
source scripts/stage.sh

prepare_tokens() {
  "$blockformer" prepare --force --tokenizer "$tokenizer" --output "$out/data/train" "$1"
  "$blockformer" prepare --force --tokenizer "$tokenizer" --output "$out/data/validation" "$2"
}

# Fills `tasks`, the built-in tasks whose data are there, with commas between them, and `task_files`.
find_tasks() {
  local task file found=()
  task_files=()
  for task in lambada_openai wikitext hellaswag piqa arc_easy arc_challenge winogrande openbookqa; do
    file=$("$blockformer" eval show-task "$task" | sed -n 's/^    \(test\|validation\): *//p')
    if [[ -z $file || ! -f $eval_data/$file ]]; then continue; fi
    found+=("$task")
    task_files+=("$eval_data/$file")
  done
  tasks=$(IFS=,; echo "${found[*]}")
}

evaluate() {
  "$blockformer" eval tasks "$out/$1" --tasks "$2" --data "$3" --json "$out/$1.tasks.json" --force
}

measure_positions() {
  "$blockformer" eval positions "$out/block" "$out/vanilla" --data "$1" \
    --json "$out/positions.json" --plot "$out/positions.svg" --force
}

tokenizer=$out/data/tokenizer.json
stage tokenizer "$tokenizer" "$train_text" \
  "$blockformer" tokenizer train --force --vocab-size 4096 --output "$out/data" "$train_text"
stage prepare "$(paths "$out/data/train.bin" "$out/data/validation.bin")" \
  "$(paths "$tokenizer" "$train_text" "$validation_text")" \
  prepare_tokens "$train_text" "$validation_text"
for model in block vanilla; do
  stage "$model" "$(paths "$out/$model" "$out/$model/model.safetensors")" \
    "$(paths "$out/data/"{train,validation}.{bin,idx} "recipes/books/$model.yaml")" \
    "$blockformer" train "recipes/books/$model.yaml" "${settings[@]}"
done
models=("$out/"{block,vanilla}/model.safetensors)
find_tasks
if [[ -n $tasks ]]; then
  for model in block vanilla; do
    results=$out/$model.tasks.json
    # What an interrupted run of another model left goes with it.
    mapfile -t left < <(find "$out" -name "$model.tasks.json.partial*")
    stage "$model.tasks" "$(paths "$results" "${left[@]}")" \
      "$(paths "$out/$model/model.safetensors" "${task_files[@]}")" \
      evaluate "$model" "$tasks" "$eval_data"
  done
  "$blockformer" eval compare "$out/block.tasks.json" "$out/vanilla.tasks.json"
else
  echo "$eval_data holds no task's data; \`blockformer eval-data\` writes them" >&2
fi
stage positions "$out/positions.json" "$(paths "${models[@]}" "$test_text")" \
  measure_positions "$test_text"
