# shellcheck shell=bash disable=SC2154
# Stages of a long job that are skipped when their outputs are there. To be sourced; the caller sets
# `stamps`, a folder that remembers which stages have begun and ended, and `set -e`.

# paths PATH...
# Paths as `stage` takes them: one a line.
paths() {
  printf '%s\n' "$@"
}

# stage NAME OUTPUTS INPUTS COMMAND...
# Runs the command unless OUTPUTS were made by the same command from INPUTS with the same contents
# (both: paths, one a line). What a function called as COMMAND uses and INPUTS do not hold, such as
# settings, is to be among its arguments. Outputs that were begun from other inputs are removed first;
# those of an interrupted stage stay, so that the command can continue them.
stage() {
  local name=$1 outputs=() inputs=() begun=$stamps/$1.begun ended=$stamps/$1.ended key
  if [[ -n $2 ]]; then mapfile -t outputs <<<"$2"; fi
  if [[ -n $3 ]]; then mapfile -t inputs <<<"$3"; fi
  shift 3
  key=$({ printf '%q ' "$@"; cat "${inputs[@]}" </dev/null; } | sha256sum)
  if [[ -f $ended && $(<"$ended") == "$key" ]] && ls -d "${outputs[@]}" >/dev/null 2>&1; then
    echo "($name: done before)"
    return
  fi
  rm -f "$ended"
  if [[ ! -f $begun || $(<"$begun") != "$key" ]]; then rm -rf "${outputs[@]}"; fi
  echo "$key" >"$begun"
  local start=$SECONDS
  "$@"
  echo "($name: $((SECONDS - start)) s)"
  mv "$begun" "$ended"
}
