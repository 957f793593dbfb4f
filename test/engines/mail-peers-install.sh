#!/bin/sh
# mail-peers-install.sh DIR: Python's dkimpy, which signs and verifies mail without any code of ours, in DIR/venv, and the test suite of
# RFC 7208, which the source of Python's pyspf carries, as DIR/rfc7208-tests.json with its licence. Does nothing if they are there.
set -eu
dir=$1
[ -f "$dir/complete" ] && exit 0

python3 -c 'import ensurepip, venv' 2>/dev/null || sh "$(dirname "$0")/apt-install.sh" python3-venv >&2
rm -rf "$dir"
mkdir -p "$dir"
python3 -m venv "$dir/venv"
pip="$dir/venv/bin/python -m pip --disable-pip-version-check --quiet"
$pip install dkimpy==1.1.8 PyNaCl==1.6.2 authres==1.2.0 dnspython==2.9.2 PyYAML==6.0.4 >&2
cat >"$dir/source.txt" <<'PIN'
pyspf==2.0.14 --hash=sha256:57a7ef01bda090173aafb6af0106251686ed73f03db4e911fcd34c57fc347186
PIN
$pip download --no-deps --no-binary :all: --require-hashes -d "$dir" -r "$dir/source.txt" >&2
"$dir/venv/bin/python" - "$dir" <<'PYTHON'
import glob, json, sys, tarfile, yaml
folder = sys.argv[1]
with tarfile.open(glob.glob(folder + '/pyspf-*.tar.gz')[0]) as source:
    for member in source.getmembers():
        if member.name.endswith('/rfc7208-tests.LICENSE'):
            open(folder + '/rfc7208-tests.LICENSE', 'wb').write(source.extractfile(member).read())
        if member.name.endswith('/rfc7208-tests.yml'):
            scenarios = list(yaml.safe_load_all(source.extractfile(member)))
            json.dump(scenarios, open(folder + '/rfc7208-tests.json', 'w'))
PYTHON
[ -s "$dir/rfc7208-tests.json" ] && [ -s "$dir/rfc7208-tests.LICENSE" ]
touch "$dir/complete"
