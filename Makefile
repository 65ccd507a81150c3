# `make run` shows the product at work, `make test` proves it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SDK    := .venv-sdk-$(notdir $(PYTHON))

.DEFAULT_GOAL := help
.PHONY: help run serve test test-unit test-sdk lint lint-openapi format docs diagrams bench bench-all isolation screenshots chaos chaos-sdk simulate lock clean

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

# Ctrl-C is the normal end of the demo (exit code 130), so make does not report an error. The shell gets the signal too.
run: $(VENV)/.run ## watch the product work: a simulated shop, a server, receivers; Ctrl-C stops
	@trap : INT; $(BIN)/commerce-event demo || test $$? = 130

serve: $(VENV)/.run ## start a server on ./commerce-event.db
	$(BIN)/commerce-event serve

test: $(VENV)/.dev $(VENV)/.browser ## run every test; installs Chromium first where it is missing, and says so
	$(BIN)/python -m pytest -n 2 --dist worksteal --reruns 1 --rerun-show-tracebacks

test-unit: $(VENV)/.dev ## run the quick tests, for every save
	$(BIN)/python -m pytest -m "not integration" -n 2

test-sdk: $(SDK)/.sdk ## run the tests of the SDK that need nothing else; with PYTHON=python3.10 on the oldest Python
	cd sdk/python && $(CURDIR)/$(SDK)/bin/python -m pytest -q -rfE -m "not integration"
	cd sdk/python && $(CURDIR)/$(SDK)/bin/python -m pytest -q -rfE tests/inbox/test_put.py tests/inbox/test_worker.py tests/outbox/test_outbox.py

lint: $(VENV)/.dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	cd sdk/python && $(CURDIR)/$(BIN)/mypy

lint-openapi: $(VENV)/.dev ## check the OpenAPI document with Redocly, Spectral and a client generator (needs Node.js; skips what is missing)
	$(BIN)/python tests/openapi_lint/lint.py

format: $(VENV)/.dev ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs ## build the documentation as a site in build/docs; a dead link fails
	$(BIN)/python docs/diagrams/draw.py --check
	$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs . build/docs
	@echo "Open build/docs/index.html"

diagrams: $(VENV)/.run ## draw the pictures of the documentation from docs/diagrams
	$(BIN)/python docs/diagrams/draw.py

bench: $(VENV)/.run ## measure accepts, deliveries, latency and memory on this machine
	$(BIN)/commerce-event bench

bench-all: $(VENV)/.run ## run every benchmark scenario, also those that only developers need (10 minutes)
	$(BIN)/python -m benchmarks.full

isolation: $(VENV)/.run ## measure what one tenant can do to another, on this machine (25 minutes, Linux)
	$(BIN)/python -m benchmarks.isolation

screenshots: $(VENV)/.dev $(VENV)/.browser ## take the screenshots for README and docs
	$(BIN)/python tests/browser/take_screenshots.py docs/images

chaos: $(VENV)/.dev ## inject faults under load, 250 kills on each engine, and check every invariant (an hour)
	$(BIN)/python tests/seeded_bugs/try_seeded_bugs.py
	$(BIN)/python tests/oracle/chaos.py --engine sqlite --faults kill,kill-all --cycles 250
	$(BIN)/python tests/oracle/chaos.py --engine sqlite --cycles 50
	$(BIN)/python tests/oracle/chaos.py --engine postgres --faults kill,kill-all --cycles 250
	$(BIN)/python tests/oracle/chaos.py --engine postgres --cycles 70
	$(BIN)/python tests/oracle/change_run.py --engine sqlite --cycles 60
	$(BIN)/python tests/oracle/change_run.py --engine postgres --cycles 60

chaos-sdk: $(VENV)/.dev ## kill programs with an inbox or an outbox, 1,000 times each on each database, and check every effect (20 minutes)
	$(BIN)/python sdk/python/tests/oracle/inbox_run.py --database sqlite --mode worker --kills 800
	$(BIN)/python sdk/python/tests/oracle/inbox_run.py --database sqlite --mode accept --kills 200
	$(BIN)/python sdk/python/tests/oracle/inbox_run.py --database postgres --mode worker --kills 800 --life 0.8
	$(BIN)/python sdk/python/tests/oracle/inbox_run.py --database postgres --mode accept --kills 200 --life 0.8
	$(BIN)/python sdk/python/tests/oracle/outbox_run.py --database sqlite --kills 1000
	$(BIN)/python sdk/python/tests/oracle/outbox_run.py --database postgres --kills 1000 --life 0.8

simulate: $(VENV)/.dev ## run thousands of simulated worlds, each from a seed (an hour)
	$(BIN)/python tests/simulation/every_commit.py
	$(BIN)/python tests/simulation/run.py --seeds 5000 --first 1000

# `make lock UPGRADE=` keeps the pinned versions and adds only what pyproject.toml newly asks for.
UPGRADE ?= --upgrade
COMPILE = $(BIN)/uv pip compile $(UPGRADE) --universal --python-version 3.11 --generate-hashes --no-header -q --extra build
lock: $(VENV)/.dev ## pin the newest allowed versions with hashes
	$(COMPILE) -o requirements/run.txt pyproject.toml
	$(COMPILE) --extra dev -o requirements/dev.txt pyproject.toml
	$(COMPILE) --extra docs -c requirements/dev.txt -o requirements/docs.txt pyproject.toml
	$(BIN)/uv pip compile $(UPGRADE) --universal --python-version 3.10 --generate-hashes --no-header -q \
	  --group sdk/python/pyproject.toml:test -o requirements/sdk.txt

clean: ## delete the virtual environments and caches
	rm -rf $(VENV) .venv-* build .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.txt pyproject.toml sdk/python/pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e sdk/python
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

# An environment without the server and its dependencies.
$(SDK)/.sdk: requirements/sdk.txt sdk/python/pyproject.toml
	$(PYTHON) -m venv $(SDK)
	$(SDK)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/sdk.txt
	$(SDK)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e sdk/python
	@touch $@

$(VENV)/.docs: requirements/docs.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt
	@touch $@

# Chromium comes from the system: wheels bring none. Without it the browser tests are skipped, except where CI is set.
$(VENV)/.browser: | $(VENV)/bin/python
	@if command -v chromium >/dev/null || command -v google-chrome >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "The browser tests need Chromium: installing it now with apt-get, about 300 MB on disk, once." >&2; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	else false; fi || echo "Chromium is missing and cannot be installed here: the browser tests will be skipped." >&2
	@touch $@
