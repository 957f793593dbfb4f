#!/bin/sh
# apt-unpack.sh FOLDER PACKAGE...: unpacks Debian packages into a new folder, and installs nothing but the libraries that they need:
# packages that exclude each other are there side by side, no daemon is started, and the machine's mail goes its way as before.
set -eu
[ "$(id -u)" = 0 ] || { echo "as root only: the libraries of $* are installed" >&2; exit 3; }
folder=$1
shift
part=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$part"' EXIT
mkdir "$part/archives" "$part/tree"
exec 9>"${TMPDIR:-/tmp}/apt-install.lock"
flock 9
apt-get update -q >/dev/null
(cd "$part/archives" && apt-get download -q "$@" >/dev/null 2>"$part/errors") || { cat "$part/errors" >&2; exit 1; }
exec 9>&-
for archive in "$part"/archives/*.deb; do
  dpkg-deb -x "$archive" "$part/tree"
  dpkg-deb -f "$archive" Depends | tr , '\n' | sed -n 's/^ *\(lib[^ (|]*\).*/\1/p' >>"$part/libraries"
done
if [ -s "$part/libraries" ]; then sh "$(dirname "$0")/apt-install.sh" $(sort -u "$part/libraries"); fi
mv -T "$part/tree" "$folder"
