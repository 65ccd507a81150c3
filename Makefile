# Everything starts here: `make run` shows the product at work, `make test` proves it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run serve test test-unit lint format bench bench-all screenshots chaos simulate lock clean

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.run ## watch events leave a shop, become durable and reach a receiver
	$(BIN)/commerce-event demo

serve: $(VENV)/.run ## start a server on ./commerce-event.db
	$(BIN)/commerce-event serve

test: $(VENV)/.dev $(VENV)/.browser ## run every test
	$(BIN)/python -m pytest -n 2

test-unit: $(VENV)/.dev ## run the quick part of the tests, as at every save
	$(BIN)/python -m pytest tests/unit -n 2

lint: $(VENV)/.dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev ## bring the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.run ## measure this machine: accepts, deliveries, latency, memory
	$(BIN)/commerce-event bench

bench-all: $(VENV)/.run ## run every benchmark scenario, also those that only developers need (10 minutes)
	$(BIN)/python -m benchmarks.full

screenshots: $(VENV)/.dev $(VENV)/.browser ## take the pictures that README and docs show
	$(BIN)/python tests/browser/take_screenshots.py docs/images

chaos: $(VENV)/.dev ## hurt servers under load, 250 kills on each engine and faults of every kind, and judge (an hour)
	$(BIN)/python tests/seeded_bugs/try_under_faults.py
	$(BIN)/python tests/oracle/chaos.py --engine sqlite --faults kill,kill-all --cycles 250
	$(BIN)/python tests/oracle/chaos.py --engine sqlite --cycles 50
	$(BIN)/python tests/oracle/chaos.py --engine postgres --faults kill,kill-all --cycles 250
	$(BIN)/python tests/oracle/chaos.py --engine postgres --cycles 70

simulate: $(VENV)/.dev ## live through thousands of simulated worlds, each from a seed (an hour)
	$(BIN)/python tests/simulation/every_commit.py
	$(BIN)/python tests/simulation/run.py --seeds 5000 --first 1000

lock: $(VENV)/.dev ## choose the newest allowed versions and pin them with hashes
	$(BIN)/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header -q \
	  --extra build -o requirements/run.txt pyproject.toml
	$(BIN)/uv pip compile --upgrade --universal --python-version 3.11 --generate-hashes --no-header -q \
	  --extra build --extra dev -o requirements/dev.txt pyproject.toml

clean: ## forget the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements/run.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

# Chromium comes from the system: wheels bring none. Without it the browser tests are skipped, except where CI is set.
$(VENV)/.browser: | $(VENV)/bin/python
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	       && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
	  || echo "No Chromium here and no way to install it: the browser tests will be skipped." >&2
	@touch $@
