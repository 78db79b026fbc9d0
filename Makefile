# Everything starts here, also in a fresh clone: each target sets up what it needs. `make` alone lists the targets.

PYTHON = python3
VENV = .venv
CONSTRAINTS = constraints.txt

PIP_INSTALL = $(VENV)/bin/python -m pip install $(if $(CONSTRAINTS),-c $(CONSTRAINTS))
SETUP_FILES = pyproject.toml $(CONSTRAINTS)

# The tests are written for one thread (results are then equal to the bit) and touch no network.
TEST_ENV = OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1
PYTEST = $(TEST_ENV) $(VENV)/bin/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help install quickstart test test-slow lint format clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-12s %s\n", $$1, $$2 }'
	@echo
	@echo "  Settings: PYTHON=$(PYTHON) VENV=$(VENV) CONSTRAINTS=$(CONSTRAINTS)"
	@echo "  On a GPU machine, for the newest torch with its GPU libraries: make quickstart CONSTRAINTS="

install: $(VENV)/.dev ## Create the environment with everything that development needs

quickstart: $(VENV)/.quickstart ## Train several tasks on one small model, and show what they learned
	$(VENV)/bin/hf-mtl train recipes/quickstart/recipe.yaml

test: lint ## Linters, types and the quick tests
	$(PYTEST) -m "not slow and not gpu" -n 2

test-slow: install ## The slow tests (real training runs)
	$(PYTEST) -m "slow and not gpu" -n 2

lint: install ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: install ## Let ruff rewrite the files
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean: ## Remove the environment and all caches
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make a second call instant; they are renewed when the set-up files change.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --upgrade pip

$(VENV)/.quickstart: $(SETUP_FILES) | $(VENV)/bin/python
	$(PIP_INSTALL) -e '.[quickstart]'
	touch $@

$(VENV)/.dev: $(SETUP_FILES) | $(VENV)/bin/python
	$(PIP_INSTALL) -e '.[dev]'
	touch $@ $(VENV)/.quickstart
