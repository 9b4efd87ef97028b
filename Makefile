# One target a habit. `make setup` builds .venv from the lock; everything else uses it.
.DEFAULT_GOAL := help
.PHONY: site help setup assets run live test test-system test-browser test-deploy test-image test-clients test-exchanges soak lint format types unit prove bench lock docs clean

# Another Python beside it: make unit VENV=.venv313 PYTHON=python3.13
VENV := .venv
BIN := $(VENV)/bin
# The first Python on the PATH that is new enough.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$p; break; }; done)
READY := $(VENV)/.ready
# One more than cores: many tests wait for a process or a clock.
JOBS ?= 3
# Tests start hundreds of processes: sources are compiled once, not by each of them.
unexport PYTHONDONTWRITEBYTECODE

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY)  ## Build .venv with everything needed

$(READY): pyproject.toml requirements/dev.lock ui/package-lock.json tools/assets.py
	@test -n "$(PYTHON)" || { echo "papertape needs Python 3.11 or newer on the PATH" >&2; exit 1; }
	@echo "setting up $(VENV); the first time this takes about three minutes" >&2
	@sh tools/venv.sh "$(PYTHON)" "$(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@$(BIN)/python tools/assets.py
	@touch $@

assets: setup  ## Fetch what the pages load (htmx, charts, font) from npm, where setup could not
	@$(BIN)/python tools/assets.py

run: setup  ## Watch four strategies trade a simulated market, on a page of your own
	@$(BIN)/papertape up --config demo.toml

live: setup  ## Watch them trade the live market of Bitget, without a key
	@$(BIN)/papertape up --feed bitget --db data/live.db

test: lint  ## Lint, types and most tests: what to run before every commit; under six minutes on two cores
	@$(MAKE) --no-print-directory -j 2 types unit

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: setup  ## Rewrite the sources as the formatter wants them
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

types: setup
	@$(BIN)/mypy

unit: setup
	@$(BIN)/pytest -p no:schemathesis -n $(JOBS) --dist worksteal -m "not system and not slow and not browser and not image and not generated" --ignore tests/deploy

test-system: setup  ## Whole programs, compiled strategies, power cuts, random faults, the commands in the docs
	@$(BIN)/pytest -n $(JOBS) --dist worksteal -rs -m "system and not slow" --ignore tests/deploy --ignore tests/cli/test_systemd.py

test-browser: setup  ## The pages in a real browser; pictures of them in build/screenshots
	@sh tools/browser.sh $(BIN)/python
	@$(BIN)/pytest -n 2 --dist loadfile -m browser tests/browser

test-deploy: setup  ## deploy.sh end to end, compose.yaml, the systemd unit, an upgrade and the way back
	@$(BIN)/pytest -n $(JOBS) --dist worksteal -rs -m "not browser and not image" tests/deploy tests/cli/test_systemd.py

test-image: setup  ## The Dockerfile built for real by buildah, and what it makes, run (root, buildah, debootstrap)
	@$(BIN)/pytest -n 0 -rs -m image tests/image

test-clients: setup  ## Clients generated from the API's description, for Python and TypeScript (needs npm)
	@sh tools/clients.sh $(BIN)/python
	@$(BIN)/pytest -n 0 -m generated tests/client

test-exchanges: setup  ## Other exchanges through ccxt, in their own environment: ccxt pins its dependencies
	@sh tools/venv.sh "$(PYTHON)" .venv-exchanges
	@.venv-exchanges/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/exchanges.lock
	@.venv-exchanges/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@.venv-exchanges/bin/pytest -n $(JOBS) -rs -m "not slow" tests/feeds/test_ccxt_feed.py tests/feeds/test_ccxt_markets.py

soak: setup  ## A day of market in 24 minutes: a flapping exchange, a dead chat, dashboards, a kill an hour
	@$(BIN)/python -m tests.soak 24

prove: setup  ## All tests, the long ones too, each property on all its examples
	@PAPERTAPE_PROVE=1 $(BIN)/pytest -n $(JOBS) --dist worksteal -m "not browser and not image and not generated"

bench: setup  ## Measure against other libraries; writes benchmarks/RESULTS.md
	@$(BIN)/python -m benchmarks --write

lock:  ## Write requirements/*.lock anew; UPGRADE=--upgrade takes the newest versions (needs uv)
	@sh tools/lock.sh $(UPGRADE)

docs: setup  ## Write the reference pages from the code
	@$(BIN)/python -m tools.reference

site: setup  ## The docs as a site with search, in build/site; after `make test-browser` with its pictures
	@$(BIN)/python -m tools.site
	@$(BIN)/zensical build --clean --strict

clean:  ## Remove what setup and tests have built
	rm -rf $(VENV) .venv-bench .venv-exchanges build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
