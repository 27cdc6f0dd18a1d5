# The first two commands: `make demo` and `make test`. Everything goes into .venv; PYTHON chooses another Python,
# ARGS are passed on: make demo ARGS="--photos DIR --run my-demo".
PYTHON ?= python3
VENV := .venv
# Tests of one file share what they prepare.
PARALLEL := -n auto --dist loadfile
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-all check bench docs

demo: $(VENV)/.demo
	@$(VENV)/bin/aesop demo $(ARGS)

test: $(VENV)/.dev
	@$(VENV)/bin/python -m pytest $(PARALLEL)

test-all: $(VENV)/.dev
	@$(VENV)/bin/python -m pytest $(PARALLEL) -m ""

check: $(VENV)/.dev
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/lint-imports --no-cache
	@$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python

bench: $(VENV)/.dev
	@$(VENV)/bin/python benchmarks/train_step.py
	@$(VENV)/bin/python benchmarks/layout.py
	@$(VENV)/bin/python benchmarks/loader.py

# Without --quiet, which would keep warnings from --strict too.
docs: $(VENV)/.docs
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --strict
	@echo "The site is in build/site; $(VENV)/bin/python -m http.server --directory build/site shows it."

# Stamps: what was installed is not installed again until pyproject.toml changes.
$(VENV)/.demo $(VENV)/.dev $(VENV)/.docs: $(VENV)/.%: pyproject.toml | $(VENV)/bin/python
	@echo "Installing AESOP and what it needs (PyTorch among it) into $(VENV); the first time takes some minutes."
	@$(PIP) --editable '.[$*]'
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "AESOP needs Python 3.10 or newer; call make PYTHON=python3.12, say.")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
