# `make demo` and `make test` are all the set-up there is: both make or reuse .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test proofs lint bench clean

demo: $(VENV)/.demo-installed
	$(BIN)/mmn-edge demo

test: $(VENV)/.dev-installed lint
	$(BIN)/pytest -n 2 --dist worksteal

# The slow ones.
proofs: $(VENV)/.dev-installed
	$(BIN)/pytest -n 2 --dist worksteal -m proof

lint: $(VENV)/.dev-installed
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

bench: $(VENV)/.dev-installed
	@for file in tests/benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

# Reinstalled when what is to be installed changes.
$(VENV)/.demo-installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --editable ".[convert]" --constraint constraints.txt
	touch $@

$(VENV)/.dev-installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install --quiet --editable ".[dev]" --constraint constraints.txt
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache *.egg-info
