#!/bin/sh
# apt-install.sh PACKAGE...: installs Debian packages, one process at a time: apt's own waiting does not cover its package lists.
set -eu
[ "$(id -u)" = 0 ] || { echo "missing; as root: apt-get install $*" >&2; exit 3; }
exec 9>"${TMPDIR:-/tmp}/apt-install.lock"
flock 9
apt-get update -q >/dev/null
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 \
  -o Dpkg::Options::=--force-confold "$@" >/dev/null
