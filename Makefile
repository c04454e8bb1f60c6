# Everything a fresh machine needs: `make demo` shows the thing at work, `make test` checks it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

DEMO := demo
DEMO_EPOCHS ?= 12

.PHONY: help demo test test-slow lint bench clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(VENV)/.venv:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.venv pyproject.toml constraints.txt
	@echo "installing into $(VENV) ..."
	@$(PIP) --editable '.[musicnn,train,demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	@$(PIP) --editable '.[extract,discogs-onnx,train,demo,dev]'
	@touch $@

demo: $(VENV)/.demo  ## render music, embed it, train the six systems from a quarter of the labels: five minutes
	@$(BIN)/extract run demo $(DEMO)/audio $(DEMO)/demo.zarr --teacher musicnn
	@$(BIN)/train compare $(DEMO)/demo.zarr --preset few-labels --label-shares 0.25 \
		--channels 16 --epochs $(DEMO_EPOCHS) --out $(DEMO)/runs
	@echo
	@echo "One seed and few epochs: differences under .03 or so are noise (three seeds are in README.md)."
	@echo "The chart is $(DEMO)/runs/compare.png. What to try next, after \`source $(VENV)/bin/activate\`:"
	@echo "  extract info $(DEMO)/demo.zarr"
	@echo "  train compare $(DEMO)/demo.zarr --preset few-labels --label-shares 0.1,0.25,1 --channels 16 --out $(DEMO)/curve"
	@echo "  extract run csv YOUR.csv yours.zarr --teacher musicnn      (columns path and label; see README.md)"

lint: $(VENV)/.dev  ## ruff, mypy --strict and hadolint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint docker/*.Dockerfile

test: lint  ## lint, then every test that is not slow
	$(BIN)/python -m pytest

test-slow: $(VENV)/.dev  ## the long tests
	$(BIN)/python -m pytest -m slow

bench: $(VENV)/.dev  ## measured speed ratios, printed
	$(BIN)/python -m pytest -m benchmark -s

clean:  ## remove what was installed, built and rendered
	rm -rf $(VENV) build dist *.egg-info $(DEMO)
