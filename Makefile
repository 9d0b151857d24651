# make demo | test | test-all | lint | lab | run | paper | bench          every target sets .venv up by itself
PYTHON ?= python3
PRESET ?= quick
SEEDS ?= 0
RUN ?= $(basename $(notdir $(PRESET)))
CORES ?=
BIN := .venv/bin

.PHONY: demo test test-all lint lab run paper bench
export PYTHONPATH := $(CURDIR)

demo: .venv/ready
	$(BIN)/python -m lib.batch --preset demo $(if $(CORES),--cores $(CORES))

run: .venv/ready
	@test -n "$(DATA)" || { echo 'usage: make run DATA=<folder> [PRESET=quick] [MACHINES="ToyCar valve"] [SEEDS="0 1"] [RUN=name]'; exit 2; }
	$(BIN)/python -m lib.batch --data "$(DATA)" --preset "$(PRESET)" --machines="$(MACHINES)" --seeds="$(SEEDS)" --run="$(RUN)" $(if $(CORES),--cores $(CORES))

paper:
	@$(MAKE) run PRESET=paper

test: .venv/ready
	$(BIN)/python -m pytest

test-all: test
	$(BIN)/python -m pytest -m long

lint: .venv/ready
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/nbstripout --verify notebooks/*.ipynb

lab: .venv/ready
	$(BIN)/jupyter lab --notebook-dir=.

bench: .venv/ready
	$(BIN)/python workflow/bench.py

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or sys.exit("Python 3.11 to 3.13 is needed, this is %d.%d: make PYTHON=python3.12 …" % v)'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@
