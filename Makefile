# make demo | test | test-all | test-browser | test-slurm | lint | lab | run | paper | data | fit | score | watch | figures | results | study | bench          every target sets $(VENV) up by itself
PYTHON ?= python3
PRESET ?= quick
SEEDS ?= 0
RUN ?= $(basename $(notdir $(PRESET)))
CORES ?=
CARD_JOBS ?=
PROFILE ?=
LAB ?=
CSV ?= scores.csv
VENV ?= .venv
BIN := $(VENV)/bin
WHERE := $(if $(CORES),--cores $(CORES)) $(if $(CARD_JOBS),--card-jobs $(CARD_JOBS)) $(if $(PROFILE),--profile="$(PROFILE)")

.PHONY: demo test test-all test-browser test-slurm lint lab run paper data fit score watch figures results study bench
export PYTHONPATH := $(CURDIR)
export JUPYTER_PREFER_ENV_PATH := 1
unexport PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX
ROOT := $(if $(filter 0,$(shell id -u)),--allow-root --ip=127.0.0.1)

demo: $(VENV)/$(if $(PROFILE),cluster,ready)
	$(BIN)/python -m lib.batch --preset demo $(WHERE)

run: $(VENV)/$(if $(PROFILE),cluster,ready)
	@test -n "$(DATA)" || { echo 'usage: make run DATA=<folder> [PRESET=quick] [MACHINES="ToyCar valve"] [SEEDS="0 1"] [RUN=name] [PROFILE=slurm]'; exit 2; }
	$(BIN)/python -m lib.batch --data="$(DATA)" --preset="$(PRESET)" --machines="$(MACHINES)" --seeds="$(SEEDS)" --run="$(RUN)" $(WHERE)

paper:
	@$(MAKE) run PRESET=paper

data: $(VENV)/ready
	$(BIN)/python -m lib.data "$(DATA)" --machines="$(MACHINES)" --sets="$(SETS)" --zips="$(ZIPS)"

test: $(VENV)/ready
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-all: test
	$(BIN)/python -m pytest -m long -n 2 --dist worksteal

test-browser: $(VENV)/ready
	$(BIN)/python -m pytest -m browser tests/report

test-slurm: $(VENV)/cluster
	$(BIN)/python -m pytest -m slurm tests/test_slurm.py

lint: $(VENV)/ready
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/nbstripout --verify notebooks/*.ipynb

lab: $(VENV)/ready
	@test -z "$(ROOT)" || echo 'you are root: JupyterLab is for this computer alone; out of a container: make lab LAB=--ip=0.0.0.0'
	$(BIN)/python -m lib.homes jupyterlab --notebook-dir=. $(ROOT) $(LAB)

fit: $(VENV)/ready
	@test -n "$(DATA)" -a -n "$(MACHINE)" || { echo 'usage: make fit DATA=<folder of healthy recordings> MACHINE=<name> [OTHERS=<folder>] [PRESET=quick] [RUN=<name>] [CHANNEL=0]'; exit 2; }
	$(BIN)/python -m lib.fit "$(DATA)" --machine "$(MACHINE)" --others "$(OTHERS)" --preset "$(PRESET)" --run "$(if $(filter $(basename $(notdir $(PRESET))),$(RUN)),,$(RUN))" --cores "$(CORES)" $(if $(CHANNEL),--channel "$(CHANNEL)")

score watch: $(VENV)/ready
	@test -n "$(MODEL)" -a -n "$(if $(filter watch,$@),$(FOLDER),$(CLIPS))" || { echo 'usage: make score MODEL=outputs/<run>/<machine> CLIPS=<folder or file> [CSV=scores.csv] [ROW="OE-Flow"] [PICTURES=<folder>] [STRETCH=<seconds>] [FALSE_ALARMS=0.01] [THRESHOLD=<score>]; make watch MODEL=… FOLDER=<folder>'; exit 2; }
	$(BIN)/python -m lib.score "$(MODEL)" $(if $(filter watch,$@),"$(FOLDER)" --watch,"$(CLIPS)") --csv "$(CSV)" --row "$(ROW)" --pictures "$(PICTURES)" $(if $(STRETCH),--stretch "$(STRETCH)") $(if $(FALSE_ALARMS),--false-alarms "$(FALSE_ALARMS)") $(if $(THRESHOLD),--threshold "$(THRESHOLD)")

figures: $(VENV)/ready
	$(BIN)/python -m lib.results.figures "outputs/$(RUN)"

results: $(VENV)/ready
	$(BIN)/python -m lib.results.page $(or $(RUNS),outputs/demo)

study: $(VENV)/ready
	$(BIN)/python -m lib.study --data="$(DATA)" --machines="$(MACHINES)" --seeds="$(or $(filter-out 0,$(SEEDS)),0 1 2 3)"

bench: $(VENV)/ready
	$(BIN)/python -m workflow.bench $(STAGES)

$(VENV)/ready: requirements.lock pyproject.toml
	@command -v "$(PYTHON)" > /dev/null || { echo "there is no $(PYTHON): install Python 3.11 to 3.13, or make PYTHON=<where one is>"; exit 2; }
	@"$(PYTHON)" -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or sys.exit("Python 3.11 to 3.13 is needed, this is %d.%d: make PYTHON=python3.12 …" % v)'
	@"$(PYTHON)" workflow/set_up.py "$(VENV)"

$(VENV)/cluster: $(VENV)/ready requirements-cluster.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-cluster.lock && touch $@
