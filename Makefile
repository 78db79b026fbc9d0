# Everything starts here, also in a fresh clone: each target sets up what it needs. `make` alone lists the targets.

PYTHON = python3
VENV = .venv
CONSTRAINTS = constraints.txt
# The torch of test-newest and test-lowest, which have no lock: held, for on Linux PyPI's newest brings GBs of GPU
# libraries. An empty TORCH= takes what pip finds.
TORCH = torch==2.13.0

# --build-constraint: what builds packages from source is in the lock too.
PIP_INSTALL = $(VENV)/bin/python -m pip install \
    $(if $(CONSTRAINTS),-c $(CONSTRAINTS) --build-constraint $(CONSTRAINTS))
SETUP_FILES = pyproject.toml $(CONSTRAINTS)
UV = $(VENV)-lock/bin/python -m uv
# For every Python that we support and every system, from PyPI's metadata: no package is downloaded.
COMPILE = $(UV) pip compile --universal --upgrade --python-version 3.11 --no-annotate --quiet

# The tests are written for one thread (results are then equal to the bit) and touch no network.
TEST_ENV = OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1
PYTEST = $(TEST_ENV) $(VENV)/bin/python -m pytest
QUICK = -m "not slow and not gpu" -n 2

.DEFAULT_GOAL := help
.PHONY: help install quickstart test test-slow test-wheel test-newest test-lowest test-only mutants fuzz lint format lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  %-12s %s\n", $$1, $$2 }'
	@echo
	@echo "  Settings: PYTHON=$(PYTHON) VENV=$(VENV) CONSTRAINTS=$(CONSTRAINTS) TORCH=$(TORCH)"
	@echo "  On a GPU machine, for the newest torch with its GPU libraries: make quickstart CONSTRAINTS="

install: $(VENV)/.dev ## Create the environment with everything that development needs

quickstart: $(VENV)/.quickstart ## Train several tasks on one small model, and show what they learned
	$(VENV)/bin/hf-mtl train recipes/quickstart/recipe.yaml

test: lint ## Linters, types and the quick tests
	$(PYTEST) $(QUICK)

test-slow: install ## The slow tests (real training runs)
	$(PYTEST) -m "slow and not gpu and not wheel" -n 2

# The environment that it makes is a temporary one: what a user gets who installs the wheel without extras.
test-wheel: install ## Build the wheel, install it without extras, and use it
	$(PYTEST) tests/wheel -m wheel

# Made anew each time, since what is newest changes; pip keeps what it has downloaded.
test-newest: ## The quick tests with the newest version of everything (torch: TORCH), in an environment of their own
	rm -rf $(VENV)-newest
	$(MAKE) test-only VENV=$(VENV)-newest CONSTRAINTS=

test-lowest: ## The quick tests with the lowest versions that pyproject.toml allows (torch: TORCH), in one more
	rm -rf $(VENV)-lowest
	$(MAKE) test-only VENV=$(VENV)-lowest CONSTRAINTS=constraints/lowest.txt

test-only: | $(VENV)/bin/python
	$(PIP_INSTALL) $(TORCH) -e '.[test]'
	$(PYTEST) $(QUICK)

lock: ## Write constraints.txt and constraints/lowest.txt anew: the newest that fit, the lowest allowed
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --upgrade uv
	$(COMPILE) --custom-compile-command "make lock" --all-extras -c constraints/held.in \
	    pyproject.toml constraints/build.in -o constraints.txt
	$(COMPILE) --custom-compile-command "make lock" --extra test --resolution lowest-direct \
	    --override constraints/without-torch.in pyproject.toml -o constraints/lowest.txt

SAMPLE = 150
SEED = 0
WORKERS = 2
MUTANTS_TESTS = hf_mtl $(addprefix tests/,adapters cards data/test_packing.py data/test_padding.py hub/test_pushing.py inference \
	kinds models objectives sharing training)

mutants: install ## Break the core in small ways and list what no test sees; SAMPLE, SEED, WORKERS
	$(TEST_ENV) $(VENV)/bin/python -m tools.mutants --sample $(SAMPLE) --seed $(SEED) --workers $(WORKERS) $(MUTANTS_TESTS)

TARGETS =
SECONDS = 600

# atheris has wheels for Linux alone, and not for every Python: only this target installs it.
fuzz: install ## Look for bytes on which a reader of strangers' files fails, guided by coverage; TARGETS, SECONDS
	$(VENV)/bin/python -m pip install 'atheris>=3'
	$(TEST_ENV) $(VENV)/bin/python -m tools.fuzz --seconds $(SECONDS) $(TARGETS)

lint: install ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: install ## Let ruff rewrite the files
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

clean: ## Remove the environment and all caches
	rm -rf $(VENV) $(VENV)-newest $(VENV)-lowest $(VENV)-lock build dist .mypy_cache .pytest_cache .ruff_cache
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
