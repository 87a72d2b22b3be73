#!/bin/bash
# Prints how many compilers or tests to run at once: one for each processor that affinity and control
# groups allow, and for each 2 GB of memory that is free there, which the files that include torch
# need. ROOT stands before /proc and /sys in tests.
set -euo pipefail
ROOT=${ROOT:-}

# group_directories CONTROLLER MOUNT: the process's group and its parents; the name of version 2's
# only hierarchy is empty.
group_directories() {
  local group
  group=$(awk -F: -v name="$1" '(name == "" && $2 == "") || index("," $2 ",", "," name ",") {
    sub(/^[^:]*:[^:]*:/, ""); print; exit}' "$ROOT/proc/self/cgroup" 2>/dev/null || true)
  while [[ -n $group && $group != / ]]; do
    echo "$ROOT$2$group"
    group=${group%/*}
  done
  echo "$ROOT$2"
}

number() { [[ -r $1 ]] && read -r value _ <"$1" && [[ $value =~ ^[0-9]+$ ]] && echo "$value"; }

jobs=$(nproc)
at_most() { if (($1 < jobs)); then jobs=$(($1 < 1 ? 1 : $1)); fi; }

for mount in /sys/fs/cgroup /sys/fs/cgroup/unified; do
  for directory in $(group_directories "" "$mount"); do
    [[ -r $directory/cpu.max ]] && read -r quota period <"$directory/cpu.max" || continue
    if [[ $quota =~ ^[0-9]+$ ]]; then at_most $(((quota + period - 1) / period)); fi
  done
done
for directory in $(group_directories cpu /sys/fs/cgroup/cpu); do
  quota=$(number "$directory/cpu.cfs_quota_us") && period=$(number "$directory/cpu.cfs_period_us") &&
    at_most $(((quota + period - 1) / period))
done

memory() { at_most $(($1 / 2000000000)); }
memory $(($(awk '/^MemAvailable/ {print $2}' "$ROOT/proc/meminfo") * 1000))
room() {  # DIRECTORY LIMIT USAGE RECLAIMABLE
  local limit usage cache
  limit=$(number "$1/$2") && usage=$(number "$1/$3") || return 0
  cache=$(awk -v name="$4" '$1 == name {print $2}' "$1/memory.stat" 2>/dev/null || true)
  # Version 1 says that there is no limit by one beyond all memory, which may not fit here.
  ((${#limit} < 19)) && memory $((limit - usage + ${cache:-0}))
  return 0
}
for directory in $(group_directories "" /sys/fs/cgroup); do
  room "$directory" memory.max memory.current inactive_file
done
for directory in $(group_directories memory /sys/fs/cgroup/memory); do
  room "$directory" memory.limit_in_bytes memory.usage_in_bytes total_inactive_file
done
echo "$jobs"
