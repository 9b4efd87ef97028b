#!/bin/sh
# Make a virtual environment with pip in it. Some systems ship Python without ensurepip;
# use virtualenv or the system's package there, if available.
set -eu
python=$1
venv=$2
if [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then exit 0; fi
"$python" -m venv "$venv" 2>/dev/null && exit 0
rm -rf "$venv"
if "$python" -m virtualenv --version >/dev/null 2>&1; then exec "$python" -m virtualenv -q "$venv"; fi
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    apt-get -qq update >/dev/null
    apt-get -qq install -y "python$version-venv" >/dev/null || apt-get -qq install -y python3-venv >/dev/null
    exec "$python" -m venv "$venv"
fi
echo "$python has no ensurepip: install your system's python3-venv package, then run this again" >&2
exit 1
