# ICBIR: `make` alone prints what there is. Needs Python 3.11 or newer; everything else goes into .venv.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
WORKSPACE ?= workspaces/demo
PORT ?= 8501
FUZZ_SECONDS ?= 60
FUZZ_SEED ?= 1
# One process for each core, at most four; a file of tests stays in one of them, and the long ones come first.
SIDE_BY_SIDE := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PYTEST_ARGS ?=
# Annoy is compiled from source: portable flags, so that an environment built here also runs on an older processor.
ANNOY_FLAGS := -O3,-std=c++14,-ffast-math,-fno-associative-math,-DANNOYLIB_MULTITHREADED_BUILD

.DEFAULT_GOAL := help
.PHONY: help check-system install wheel test test-slow test-postgresql test-machines test-browser test-deployment fuzz lint app chain screenshots reference clean

help: ## this list
	@echo "ICBIR: interpretability-guided case retrieval for chest radiographs"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':[^#]*## ' '{ printf "  make %-16s%s\n", $$1, $$2 }'
	@PYTHON=$(PYTHON) sh scripts/check-system || true

check-system: ## what this machine lacks and how to get it
	@PYTHON=$(PYTHON) sh scripts/check-system

$(VENV)/installed: requirements.txt pyproject.toml
	@PYTHON=$(PYTHON) sh scripts/check-system
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	ANNOY_COMPILER_ARGS="$(ANNOY_FLAGS)" $(PY) -m pip install --quiet --disable-pip-version-check --no-cache-dir "$$(grep '^annoy==' requirements.txt)"
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

install: $(VENV)/installed ## makes .venv with the pinned packages and this project

test: install ## the tests, on all cores (PYTEST_ARGS: more words for pytest)
	$(PY) -m pytest $(SIDE_BY_SIDE) $(PYTEST_ARGS)

test-slow: install ## the tests that take long: a wheel, whole jobs, other networks
	$(PY) -m pytest -m slow --timeout 1800 $(PYTEST_ARGS)

test-postgresql: install ## the tests with every workspace in a PostgreSQL that they start (Debian: apt-get install postgresql)
	$(PY) -m pytest --databases postgresql $(SIDE_BY_SIDE) $(PYTEST_ARGS)

test-machines: install ## the tests as other machines run them: instruction sets, one thread, another order
	PY=$(PY) sh scripts/test-machines $(SIDE_BY_SIDE) $(TESTS)

test-browser: install ## the tests in a real Chromium (Debian: apt-get install chromium)
	$(PY) -m pytest -m browser tests/browser --timeout 600 $(SIDE_BY_SIDE) $(PYTEST_ARGS)

test-deployment: install ## replicas, workers, PostgreSQL, S3 and nginx on loopback
	$(PY) -m pytest -m slow tests/integration/test_replicas.py tests/unit/jobs --timeout 1800 $(PYTEST_ARGS)

wheel: install ## a wheel and a source archive into dist
	$(PY) -m build --no-isolation

fuzz: install ## damaged films for FUZZ_SECONDS (60), by Hypothesis, by mutation and, where it installs, by Atheris
	ICBIR_FUZZ_EXAMPLES=2000 $(PY) -m pytest tests/fuzz --timeout 1800
	$(PY) -W ignore -m tests.fuzz.run_reader build/fuzz --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)
	$(PY) -W ignore -m tests.fuzz.run_own_files build/fuzz --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)
	if $(PY) -m pip install --quiet --disable-pip-version-check atheris==3.0.0; then \
	  $(PY) -m tests.fuzz.atheris_reader -seed=$(FUZZ_SEED) -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=build/fuzz/ build/fuzz/inputs tests/fuzz/corpus; \
	else echo "no Atheris for this machine: Hypothesis and mutation alone"; fi

lint: install ## ruff and mypy
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

app: install ## builds the demonstration once and opens the application
	@# `demo` finishes what was begun and returns at once when all is there; another workspace is served as it is.
	test "$(WORKSPACE)" != workspaces/demo || $(PY) -m icbir_core demo $(WORKSPACE)
	$(PY) -m icbir_core app $(WORKSPACE) --port $(PORT)

chain: install ## the whole job on 60 real films with a small network (needs the films, see README)
	sh scripts/chain

screenshots: install ## pictures of every page into build/screenshots
	$(PY) -m tests.browser.screenshots build/screenshots $(if $(FILM),--film $(FILM))

reference: install ## writes docs/commands.md from the commands
	$(PY) -m scripts.command_reference

clean: ## removes what was built here, keeps workspaces and .venv
	rm -rf build dist .pytest_cache .ruff_cache
