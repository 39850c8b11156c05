# Everything runs in .venv; a target installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
endif
TESTS := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder
QUICK := tests/cli tests/edit/test_pacing.py tests/edit/test_styles.py tests/edit/test_timeline.py tests/media \
  $(addprefix tests/footage/test_,features.py library.py places.py quality.py rating.py sampling.py scan.py texts.py) \
  tests/music $(wildcard tests/*.py) tests/tasks/test_task.py \
  $(addprefix tests/offload/test_,adding.py analysis.py cache.py costs.py ledger.py planner.py store.py)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help install demo check test check-all explore lint types format bench docs clean

help:  ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

install: $(VENV)/installed  ## Make .venv with the program in it

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11 ...")'
	@echo "Installing the program and its libraries into $(VENV), which takes a minute or two."
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP) -e '.[dev]'
	@touch $@

$(VENV)/installed-bench: $(VENV)/installed-dev
	$(PIP) -e '.[bench]'
	@touch $@

demo: install  ## Synthesise footage and music, and cut them to demo/film.mp4
	$(BIN)/python scripts/demo.py demo

check: lint types  ## Check style, borders and types, and run the quick tests: a minute or two
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(QUICK)

test: $(VENV)/installed-dev  ## Run the checks and all tests but the heavy oddities
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(TESTS) -m "not slow"

check-all: $(VENV)/installed-dev  ## Run the checks and all tests there are
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(TESTS) -m "not ray"
	$(BIN)/python -m pytest -m ray

explore: $(VENV)/installed-dev  ## Try the properties on many new examples
	$(BIN)/python -m pytest --hypothesis-profile=explore $$(grep -rl "^from hypothesis" tests --include="test_*.py")

lint: $(VENV)/installed-dev  ## Check style and the borders of the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/installed-dev  ## Check types, strictly
	$(BIN)/mypy

format: $(VENV)/installed-dev  ## Format the code
	$(BIN)/ruff format .

bench: $(VENV)/installed-bench  ## Measure every figure beside its reference, and write docs/benchmarks.md
	$(BIN)/python -m benchmarks --write docs/benchmarks.md

docs: install  ## Write docs/commands.md from the commands' own help
	$(BIN)/python scripts/docs.py

clean:  ## Remove what the targets made
	rm -rf $(VENV) demo dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
