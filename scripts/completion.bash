# Completion for blockformer and blockformer-train. It asks the program's own --help, so that it
# knows the flags of the version at hand. Installed with the programs; to try it from a checkout:
#   source scripts/completion.bash

# Prints the names in the section "Subcommands:" of a help text.
_blockformer_subcommands() {
  awk '/^Subcommands:/ {inside = 1; next} /^[^ ]/ {inside = 0} inside && /^  [a-z]/ {print $1}'
}

# Prints the options that a help text lists, each by its long name.
_blockformer_options() {
  awk '/^  -/ {sub(/^-[a-z],/, "", $1); print $1}' | sort -u
}

# The help of `train` is the trainer's, and with --sweep another one.
_blockformer_train_help() {
  local word
  for word in "${COMP_WORDS[@]}"; do
    if [[ $word == --sweep* ]]; then
      "$1" train --sweep FILE --help
      return
    fi
  done
  "$1" train --help
  echo "  --sweep FILE"
}

_blockformer() {
  local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]}
  local command=() help commands word
  help=$("$program" --help 2>/dev/null </dev/null) || return
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    commands=$(_blockformer_subcommands <<<"$help")
    if [[ -n $word ]] && grep -qxF -- "$word" <<<"$commands"; then
      command+=("$word")
      if [[ ${command[*]} == train && $program != *blockformer-train ]]; then
        help=$(_blockformer_train_help "$program" 2>/dev/null </dev/null) || return
      else
        help=$("$program" "${command[@]}" --help 2>/dev/null </dev/null) || return
      fi
    fi
  done
  if [[ $current == -* ]]; then
    commands=$(_blockformer_options <<<"$help")
  else
    commands=$(_blockformer_subcommands <<<"$help")
  fi
  mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
}

complete -o default -o bashdefault -F _blockformer blockformer blockformer-train
