# shellcheck shell=bash disable=SC2154
# Stages of a long job that are skipped when their outputs are there. To be sourced; the caller sets
# `stamps`, a folder that remembers which stages have begun and ended, and `set -e`.

# stage NAME OUTPUTS INPUTS COMMAND...
# Runs the command unless OUTPUTS were made by the same command from INPUTS with the same contents
# (both: paths without spaces, separated by spaces). Outputs that were begun from other inputs are
# removed first; those of an interrupted stage stay, so that the command can continue them.
stage() {
  local name=$1 outputs inputs begun=$stamps/$1.begun ended=$stamps/$1.ended key
  read -ra outputs <<<"$2"
  read -ra inputs <<<"$3"
  shift 3
  key=$({ echo "$*"; cat "${inputs[@]}" </dev/null; } | sha256sum)
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
