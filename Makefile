# Every target installs what it needs into .venv by itself, and reuses it the next time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# A convenience for developers: real data in a folder beside the repository is used where nothing
# else is said. Tests that need it are skipped where there is none.
ifeq ($(origin ST_HYBRID_DATA),undefined)
ifneq ($(wildcard ../shared/data/.),)
ST_HYBRID_DATA := $(abspath ../shared/data)
endif
endif

.PHONY: help install demo test lint types clean

help:  ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

install: $(STAMP)  ## create .venv and install everything into it

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "st-hybrid needs Python 3.11 or newer, but '$(PYTHON)' is missing or older:" \
	    "$$($(PYTHON) --version 2>&1). Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "Python's venv module is missing (Debian and Ubuntu: install python3-venv)." >&2; \
	  rm -rf $(VENV); exit 1; }
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[test,lint]'
	@touch $@

demo: $(STAMP)  ## train three tiny encoders, evaluate them and write a leaderboard to demo-results/
	$(BIN)/st-hybrid demo --output demo-results

test: $(STAMP)  ## run all tests, a module at a time on each core
	$(if $(ST_HYBRID_DATA),ST_HYBRID_DATA='$(ST_HYBRID_DATA)') OMP_NUM_THREADS=1 \
	  $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 \
	  --dist loadscope --no-loadscope-reorder --durations 25

lint: $(STAMP)  ## ruff: style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)  ## mypy --strict over both packages and the examples
	$(BIN)/mypy

clean:  ## remove .venv and everything that was built
	rm -rf $(VENV) build dist demo-results .mypy_cache .pytest_cache .ruff_cache .hypothesis
