# The two commands of the README are `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run install test check chaos simulate reliability bench docs clean

run: $(VENV)/installed
	@$(BIN)/moonbus demo

install: $(VENV)/installed

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

chaos: $(VENV)/installed-test
	$(BIN)/python -m pytest -m slow --timeout 1800

SEEDS ?= 10000
simulate: $(VENV)/installed-test
	PYTHONPATH=. $(BIN)/python -m tests.simulation.run $(SEEDS)

# The peer of both: Moonraker in an environment of its own.
MOONRAKER := $(VENV)/moonraker/bin/python

reliability: $(VENV)/installed $(MOONRAKER)
	PYTHONPATH=. $(BIN)/python -m benchmarks.reliability --moonraker $(MOONRAKER) $(if $(QUICK),--quick) \
		--write docs/reliability.md

bench: $(VENV)/installed $(MOONRAKER)
	PYTHONPATH=. $(BIN)/python -m benchmarks.bench --moonraker $(MOONRAKER) $(if $(QUICK),--quick) --write docs/benchmarks.md

docs: $(VENV)/installed
	$(BIN)/python -m bus docs

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "moonbus needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)

$(MOONRAKER): | $(BIN)/python
	$(BIN)/python -m venv $(VENV)/moonraker
	$@ -m pip install --quiet --disable-pip-version-check 'moonraker[speedups]==0.11.0'

$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/installed

$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,dev]'
	@touch $@ $(VENV)/installed $(VENV)/installed-test

clean:
	rm -rf $(VENV) run/* demo_data build ./*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
