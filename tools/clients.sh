#!/bin/sh
# Install what the test of generated clients needs into build/clients: generators for Python and TypeScript.
set -eu
python=$1
at=build/clients
command -v npm >/dev/null 2>&1 || { echo "the test of generated clients needs npm" >&2; exit 1; }
mkdir -p "$at/typescript"
[ -x "$at/python/bin/openapi-python-client" ] || {
    "$python" -m venv "$at/python"
    "$at/python/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r requirements/clients.lock
}
cp tests/client/generated/package.json tests/client/generated/package-lock.json "$at/typescript/"
[ -x "$at/typescript/node_modules/.bin/tsc" ] || (cd "$at/typescript" && npm ci --silent --no-fund --no-audit)
