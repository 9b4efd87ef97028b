#!/bin/sh
# Install what the browser tests need: Playwright in the environment, axe-core in build/axe, and the system's Chromium.
set -eu
python=$1
"$python" -c 'import playwright' 2>/dev/null ||
    "$python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/all.lock
at=build/axe
[ -f "$at/node_modules/axe-core/axe.min.js" ] || {
    command -v npm >/dev/null 2>&1 || { echo "the test of accessibility needs npm" >&2; exit 1; }
    mkdir -p "$at"
    cp tests/browser/axe/package.json tests/browser/axe/package-lock.json "$at/"
    (cd "$at" && npm ci --silent --no-fund --no-audit)
}
for name in chromium chromium-browser google-chrome-stable google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update >/dev/null && apt-get -qq install -y chromium >/dev/null && exit 0
    echo "could not install the package chromium, which the browser tests need" >&2
    exit 1
fi
echo "the browser tests need Chromium: install your system's package chromium, then run this again" >&2
exit 1
