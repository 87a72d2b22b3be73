# Completion for blockformer and blockformer-train. It asks the program's own --help, so that it
# knows the flags of the version at hand. Installed with the programs; to try it from a checkout:
#   source scripts/completion.bash

# Prints the names in the section "Subcommands:" of a help text.
_blockformer_subcommands() {
  awk '/^Subcommands:/ {inside = 1; next} /^[^ ]/ {inside = 0} inside && /^  [a-z]/ {print $1}'
}

_blockformer() {
  local program=${COMP_WORDS[0]} current=${COMP_WORDS[COMP_CWORD]}
  local command=() help commands word
  help=$("$program" --help 2>/dev/null </dev/null) || return
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    commands=$(_blockformer_subcommands <<<"$help")
    if [[ -n $word ]] && grep -qxF -- "$word" <<<"$commands"; then
      command+=("$word")
      help=$("$program" "${command[@]}" --help 2>/dev/null </dev/null) || return
    fi
  done
  if [[ $current == -* ]]; then
    commands=$(grep -oE -- '--[a-z][a-z0-9-]*' <<<"$help" | sort -u)
  else
    commands=$(_blockformer_subcommands <<<"$help")
  fi
  mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$current")
}

complete -o default -o bashdefault -F _blockformer blockformer blockformer-train
