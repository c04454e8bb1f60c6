# Everything a fresh machine needs: `make test` (checks and tests) and, for the impatient, `make help`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help test test-slow lint bench clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[musicnn,train,dev]'
	@touch $@

lint: $(INSTALLED)  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint  ## lint, then every test that is not slow
	$(BIN)/python -m pytest

test-slow: $(INSTALLED)  ## the long tests
	$(BIN)/python -m pytest -m slow

bench: $(INSTALLED)  ## measured speed ratios, printed
	$(BIN)/python -m pytest -m benchmark -s

clean:  ## remove what was installed and built
	rm -rf $(VENV) build dist *.egg-info
