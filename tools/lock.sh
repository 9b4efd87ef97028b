#!/bin/sh
# Write requirements/*.lock from pyproject.toml, with the hash of every file that may be installed. Versions stay
# as they are; --upgrade takes the newest ones. Needs uv on the PATH.
set -eu
cd "$(dirname "$0")/.."
lock() {
    out=requirements/$1.lock
    shift
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        --custom-compile-command "make lock" -o "$out" "$@" pyproject.toml
}
lock all --extra research --extra study --extra cluster --extra notebook --extra mcp --extra notify --extra docs --extra dev --extra browser "$@"
lock run -c requirements/all.lock
lock notify -c requirements/all.lock --extra notify
lock research -c requirements/all.lock --extra research
lock study -c requirements/all.lock --extra study --extra cluster
lock dev -c requirements/all.lock --extra research --extra study --extra cluster --extra notebook --extra mcp --extra notify --extra docs --extra dev
# ccxt pins its dependencies, some of them below the versions above, so it has its own environment.
lock exchanges --extra exchanges --extra dev "$@"
lock notify-exchanges -c requirements/exchanges.lock --extra notify --extra exchanges
lock bench -c requirements/research.lock --extra research --extra bench "$@"
uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --custom-compile-command "make lock" -o requirements/clients.lock requirements/clients.in
