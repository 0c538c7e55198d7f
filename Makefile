# Each target sets up what it needs. ARGS goes to the demo, e.g. make demo ARGS="--seconds 20 --out out".
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-oldest lint format generate stack-tools clean

demo: $(VENV)/.demo
	@$(BIN)/otelbot demo $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(ARGS)

# The oldest supported aiogram, in an environment of its own; what never meets aiogram is left to `make test`.
test-oldest: $(VENV)-oldest/.dev
	$(VENV)-oldest/bin/python -m pytest tests/integration --ignore tests/integration/stack_command $(ARGS)

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

$(VENV)/bin/python $(VENV)-oldest/bin/python:
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

clean:
	rm -rf $(VENV) $(VENV)-oldest dist build out
