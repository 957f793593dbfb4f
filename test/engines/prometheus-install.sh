#!/bin/sh
# prometheus-install.sh DIRECTORY: unpacks Debian's Prometheus and Alertmanager there. Nothing is installed and no service starts,
# but for two templates of Alertmanager: Debian's looks for them at their place and nowhere else.
set -eu
TEMPLATES=/usr/share/prometheus/alertmanager
[ -e "$1/complete" ] && [ -e "$TEMPLATES/default.tmpl" ] && exit 0
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
cd "$parts"
# As root the lists may be older than the mirror.
[ "$(id -u)" = 0 ] && flock "${TMPDIR:-/tmp}/apt-install.lock" apt-get update -q >/dev/null
apt-get download -q prometheus prometheus-alertmanager >/dev/null
for package in *.deb; do dpkg -x "$package" root; done
rm -rf "$1"
mkdir -p "$1"
mv root/usr/bin/prometheus root/usr/bin/promtool root/usr/bin/prometheus-alertmanager root/usr/bin/amtool "$1"
[ -e "$TEMPLATES/default.tmpl" ] || { mkdir -p "$TEMPLATES" && cp "root$TEMPLATES/"*.tmpl "$TEMPLATES"; }
touch "$1/complete"
