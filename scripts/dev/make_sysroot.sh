#!/bin/bash
# Unpacks the engine's libraries for another Debian architecture into a folder, for compiling and
# emulating. Installs nothing: several development packages cannot be there for two architectures at
# once. Silent when the folder holds them already.
#
#   scripts/dev/make_sysroot.sh ARCHITECTURE FOLDER
set -euo pipefail

fail() {
  echo "make_sysroot.sh: $*" >&2
  exit 1
}

[[ $# == 2 ]] || fail "wants two arguments, ARCHITECTURE and FOLDER, not $#: $*"
architecture=$1 folder=$2
# What only the trainer needs is large.
packages=$("$(dirname "$0")/../install_packages.sh" --list | grep -e '-dev$' |
  grep -v -e torch -e dnnl -e gloo -e openblas)
contents="$architecture: ${packages//$'\n'/ }"
stamp=$folder/contents
if [[ -f $stamp && $(<"$stamp") == "$contents" ]]; then exit 0; fi
command -v apt-get >/dev/null ||
  fail "apt-get is not here: this is not Debian. Unpack these Debian 12 packages and what they" \
    "depend on into $folder, and write this line into $stamp: $contents"

echo "Unpacking Debian packages into $folder: $contents"
rm -rf "$folder"
mkdir -p "$folder"
# With a state of its own, in which nothing is installed, apt fetches all that the packages depend
# on. The user is given since that state lies where apt's own user may not write.
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
mkdir -p "$state"/{lists,archives}/partial
touch "$state/status"
apt_get() {
  apt-get --yes --quiet=2 -o APT::Architecture="$architecture" \
    -o APT::Architectures="$architecture" -o APT::Sandbox::User="$(id -un)" \
    -o Dir::State="$state" -o Dir::State::status="$state/status" -o Dir::Cache="$state" "$@" ||
    fail "apt-get failed, see above; the packages are those of Debian 12 (bookworm)"
}
apt_get update
# shellcheck disable=SC2086  # one word a package
apt_get install --download-only --no-install-recommends $packages
for archive in "$state"/archives/*.deb; do
  dpkg-deb --extract "$archive" "$folder" || fail "$archive: cannot be unpacked into $folder"
done
echo "$contents" >"$stamp"
