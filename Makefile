# Two commands on a fresh machine with Python 3.11 or newer: `make train` and `make test`.
# VENV says where the environment goes, PYTHON which interpreter makes it; LOCKED=1 installs what requirements.lock says.

VENV ?= .venv
BIN = $(VENV)/bin
INSTALL = tools/install pyproject.toml constraints.txt requirements.lock

.DELETE_ON_ERROR:
.PHONY: help train test lint docs notebook fuzz clean

help:
	@echo 'make train     train the default recipe, then verify the result against its contract'
	@echo 'make test      run every test, and the examples of every docstring'
	@echo 'make lint      check style and types'
	@echo 'make docs      write the generated parts of README.md and docs/ anew'
	@echo 'make notebook  run docs/notebook.ipynb, and keep its outputs'
	@echo 'make fuzz      give 20,000 damaged files to every reader; for the night'
	@echo 'make clean     remove the environment and all caches; runs/ stays'

train: $(VENV)/installed
	$(BIN)/tinydigits train
	$(BIN)/tinydigits verify

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses auto # a process for each core

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/installed
	$(BIN)/python -m benchmarks all page
	$(BIN)/python docs/generate.py

notebook: $(VENV)/installed-dev
	$(BIN)/python tools/notebook

fuzz: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks reliability measure fuzz

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The files that these rules make say what was installed last, so a second `make` starts at once.
$(VENV)/installed: $(INSTALL)
	tools/install $(VENV)
	@touch $@

$(VENV)/installed-dev: $(INSTALL)
	tools/install $(VENV) dev
	@touch $@ $(VENV)/installed
