# Each target sets up what it needs. ARGS goes to the demo, e.g. make demo ARGS="--seconds 20 --out out".
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Tests mostly wait, so a process for each core; those of one file share what they start. PARALLEL= runs them in one.
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile
# Environments of the benchmarks: that of the driver, and one for each alternative, which the driver makes.
BENCH := .venv-bench/driver

.PHONY: demo test test-oldest lint format generate stack-tools screenshots bench bench-check bench-dashboard soak clean

demo: $(VENV)/.demo
	@$(BIN)/otelbot demo $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

# The oldest supported aiogram, in an environment of its own; what never meets aiogram is left to `make test`.
test-oldest: $(VENV)-oldest/.dev
	$(VENV)-oldest/bin/python -m pytest $(PARALLEL) tests/integration $(patsubst %,--ignore tests/integration/%,stack_command alerts dashboard) $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# docs/reference.md, dashboards and rules from the code.
generate: $(VENV)/.dev
	$(BIN)/python scripts/generate.py

# The real Collector, Prometheus and promtool for the tests, built once into the user's cache.
stack-tools:
	scripts/stack-tools.sh

# Pictures of every page of the dashboard with the demo's telemetry, in out/screenshots; needs Chromium.
screenshots: $(VENV)/.dev
	$(BIN)/python scripts/screenshots.py $(ARGS)

# What telemetry costs, side by side with the alternatives. Results go to out/; about an hour, with ARGS=--quick 15 minutes.
bench: $(BENCH)/.done
	$(BENCH)/bin/python -m benchmarks $(ARGS)

# What CI runs: fails if otelbot adds more than a share of what the reference adds, in the same run.
bench-check: $(BENCH)/.done
	$(BENCH)/bin/python -m benchmarks --check

# How many spans a second the dashboard takes, and at what cost; about three minutes.
bench-dashboard: $(VENV)/.dev
	$(BIN)/python -m benchmarks.dashboard $(ARGS)

# An hour of updates in minutes: fails if the bot's memory grows.
soak: $(BENCH)/.done
	$(BENCH)/bin/python -m benchmarks --soak $(ARGS)

$(VENV)/bin/python $(VENV)-oldest/bin/python $(BENCH)/bin/python:
	$(PYTHON) -m venv $(patsubst %/bin/python,%,$@)

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.demo

$(VENV)-oldest/.dev: pyproject.toml | $(VENV)-oldest/bin/python
	$(VENV)-oldest/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]' 'aiogram==3.4.0'
	@touch $@

$(BENCH)/.done: pyproject.toml benchmarks/requirements/driver.txt | $(BENCH)/bin/python
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check --requirement benchmarks/requirements/driver.txt \
	    --editable '.[demo]'
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-oldest .venv-bench dist build out
