# shellcheck shell=bash
# How long the stages of a script took, for print_times at its end. To be sourced; the caller sets
# `set -e`.
stage_times=()
current_stage=

# timed NAME COMMAND...
timed() {
  current_stage=$1
  local start=$SECONDS
  stage_start=$start
  shift
  "$@"
  stage_times+=("$(printf '%6d s  %s' $((SECONDS - start)) "$current_stage")")
  current_stage=
}

# Also names the stage that did not come to its end.
print_times() {
  if [[ -n $current_stage ]]; then
    stage_times+=("$(printf '%6d s  %s: failed' $((SECONDS - stage_start)) "$current_stage")")
  fi
  echo
  echo "Time taken:"
  printf '%s\n' "${stage_times[@]}" "$(printf '%6d s  all' "$SECONDS")"
}
