# Everything a user types. Each target sets up what it needs; `make help` lists them.

PYTHON  ?= python3
DATASET ?= synthetic
# afn or fdp
MODEL   ?= afn
# where the data set lies (needed for all but `synthetic`)
ROOT    ?=
# further options of the command, e.g. ARGS="--seeds 5"
ARGS    ?=

# processes that run the tests
TEST_JOBS ?= 2

BIN   := .venv/bin
READY := .venv/.ready
ROOT_OPTION := $(if $(ROOT),--root "$(ROOT)")

.DEFAULT_GOAL := help
.PHONY: help setup check dataset train final weights inspect bench lint test test-all test-faults smoke clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12
	@echo
	@echo 'variables: DATASET=$(DATASET) MODEL=$(MODEL) ROOT=$(ROOT) ARGS=$(ARGS)   (see also: .venv/bin/mer --help)'

setup: $(READY) ## a virtual environment with everything in it

$(READY): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is %s: make PYTHON=python3.11 ..." % sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

dataset: $(READY) ## faces, flow and dynamic images of DATASET (below ROOT), resumable
	$(BIN)/mer dataset $(DATASET) $(ROOT_OPTION) $(ARGS)

check: $(READY) ## what a copy of DATASET below ROOT holds, and what is wrong with it
	$(BIN)/mer check $(DATASET) "$(ROOT)" $(ARGS)

train: $(READY) ## leave-one-subject-out MODEL on DATASET, with its report
	$(BIN)/mer train $(DATASET) --model $(MODEL) $(ROOT_OPTION) $(ARGS)

final: $(READY) ## that, then a model of everybody to use: runs/DATASET-MODEL/model
	$(BIN)/mer train $(DATASET) --model $(MODEL) $(ROOT_OPTION) --final $(ARGS)

weights: $(READY) ## the shipped weights again, from nothing: runs/weights
	$(BIN)/mer weights $(ARGS)

inspect: $(READY) ## contact sheets and the page of DATASET
	$(BIN)/mer inspect $(DATASET) $(ROOT_OPTION) $(ARGS)

bench: $(READY) ## speed, memory and accuracy against the synthetic truth
	$(BIN)/mer bench $(ARGS)

lint: $(READY) ## format check, rules and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: $(READY) ## the tests, in several minutes
	$(BIN)/python -m pytest -m "not slow and not faults" --numprocesses $(TEST_JOBS) --dist loadfile

test-all: $(READY) ## the slow ones too, but not test-faults
	$(BIN)/python -m pytest -m "not faults" --numprocesses $(TEST_JOBS) --dist loadfile

test-faults: $(READY) ## kills, damage, commands at once, damaged inputs: a quarter of an hour or more; see docs/reliability.md
	$(BIN)/python -m pytest tests/faults -m faults --numprocesses $(TEST_JOBS) --dist load

smoke: $(READY) ## the whole way from drawing faces to a report and a prediction, small, in build/smoke
	mkdir -p build/smoke
	cd build/smoke && ../../$(BIN)/mer train synthetic --config quick --final
	cd build/smoke && ../../$(BIN)/mer predict data/synthetic/frames/s01/c01 --model runs/synthetic-afn/model

clean: ## remove what was made: data/, cache/, runs/ and the environment
	rm -rf data cache runs .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
