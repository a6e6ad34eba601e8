# Every target uses .venv's own tools; nothing needs to be activated. `make` lists the targets.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# make check ON=3.13: with that Python, in an environment of its own.
VENV := $(if $(ON),.venv-$(ON),.venv)
BIN := $(VENV)/bin
UV := $(BIN)/uv --quiet
INSTALL := $(UV) pip install --python $(BIN)/python --require-hashes
LOCK := $(UV) --no-config pip compile --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links
ARGS ?=
# Three tests at a time, for one of them mostly waits; those of a file in one process, the longest files first
# (tests/conftest.py). More words win: make test ARGS='-n 0 tests/broker'.
PYTEST := $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder
# Where the number of partitions may make a difference: run with 4 as well as with 1. Of these folders, `make check` runs
# with 4 what has `partitions` in it, and `make night` also what hardly minds (the marker `any_partitions`).
PARTITIONED := tests/broker tests/stories tests/worker tests/server tests/faults
# What takes long, and `make quick` leaves out: random lives, storms, many processes, whole programs, silences.
LONG := tests/docs tests/faults tests/worker tests/scripts \
	$(addprefix tests/broker/test_,machine.py flow_machine.py servers.py consistency.py error_words.py embedded.py \
		events.py operations.py) \
	$(addprefix tests/cli/test_,dev.py bench.py load.py acting.py workflow.py two_stores.py commands.py) tests/domain/workflow/test_any_form.py \
	$(addprefix tests/server/test_,schemathesis.py generated_clients.py hostile.py guard.py auth.py matrix.py openapi.py \
		raw_connections.py job_types_checked.py serve.py store.py) \
	$(addprefix tests/stories/test_,other_programs.py workflow_edges.py)

# Done once for each change of what a stamp depends on.
VENV_STAMP := $(VENV)/.made
RUN_STAMP := $(VENV)/.runtime-installed
DEV_STAMP := $(VENV)/.dev-installed

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Programs start three times as fast when their modules are compiled: those that we install once, ours at their first use.
unexport PYTHONDONTWRITEBYTECODE
COMPILE := $(BIN)/python -m compileall -q -j 0 $(VENV)/lib

##@ Run
.PHONY: dev
dev: $(RUN_STAMP) ## Start everything: a store, the API and a worker
	@$(BIN)/boltq dev $(ARGS)

.PHONY: init
init: $(VENV_STAMP) ## Make .venv, with the tools that install the rest

.PHONY: deps
deps: $(RUN_STAMP) ## Install what BoltQ needs into .venv

.PHONY: run-api
run-api: $(RUN_STAMP) ## Run the API (options: make run-api ARGS='--port 9000')
	@exec $(BIN)/boltq api $(ARGS)

.PHONY: run-worker
run-worker: $(RUN_STAMP) ## Run a worker (options: make run-worker ARGS='tasks:app')
	@exec $(BIN)/boltq worker $(ARGS)

.PHONY: load
load: $(RUN_STAMP) ## The performance test, against an API that runs (options: make load ARGS='--jobs 1000')
	@exec $(BIN)/boltq load $(ARGS)

.PHONY: bench
bench: $(RUN_STAMP) ## Measure this machine (options: make bench ARGS='...')
	@$(BIN)/boltq bench $(ARGS)

##@ Work on it
.PHONY: setup
setup: $(DEV_STAMP) ## Install what development needs into .venv

.PHONY: fmt
fmt: $(DEV_STAMP) ## Format the code and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lint
lint: $(DEV_STAMP) ## Style, types and architecture, without the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(wildcard src scripts tests/typing)
	$(BIN)/lint-imports

.PHONY: servers
servers: $(DEV_STAMP) ## Fetch the older servers that the tests run against into .tools
	@$(BIN)/python scripts/fetch_servers.py

.PHONY: clients
clients: $(DEV_STAMP) ## Fetch the generators of clients that the tests run into .tools
	@$(BIN)/python scripts/fetch_generators.py

.PHONY: test
test: servers clients ## Run the tests (some of them: make test ARGS='tests/broker -k claim')
	$(PYTEST) $(ARGS)

.PHONY: quick
quick: lint servers ## Style, types and the fast tests: a minute and a half
	$(PYTEST) $(foreach path,$(LONG),--ignore $(path)) -m 'not slow' $(ARGS)

.PHONY: docs
docs: $(VENV_STAMP) ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

.PHONY: check
check: ## Everything that CI runs, in its order; stops at the first failure
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory docs
	@$(MAKE) --no-print-directory test ARGS='--partitions 4 -m partitioned $(PARTITIONED)'
	@$(MAKE) --no-print-directory test

.PHONY: night
night: ## As check, but nothing is thinned: longer storms, more random lives, more with 4 partitions
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory docs
	@$(MAKE) --no-print-directory test ARGS='--night --partitions 4 -m "partitioned or any_partitions" $(PARTITIONED)'
	@$(MAKE) --no-print-directory test ARGS=--night

##@ Maintain
.PHONY: lock
lock: $(VENV_STAMP) ## Resolve the dependencies again into requirements/*.txt (newest: ARGS=--upgrade)
	$(LOCK) $(ARGS) requirements/build.in -o requirements/build.txt
	$(LOCK) $(ARGS) pyproject.toml -o requirements/runtime.txt
	$(LOCK) $(ARGS) pyproject.toml requirements/dev.in -c requirements/runtime.txt -o requirements/dev.txt
	$(LOCK) $(ARGS) --no-deps requirements/servers.in -o requirements/servers.txt

.PHONY: build
build: $(VENV_STAMP) ## Build the wheel and the source archive into dist/
	$(BIN)/uv build --no-build-isolation --python $(BIN)/python --out-dir dist

.PHONY: release
release: $(RUN_STAMP) ## Rehearse a release: make release VERSION=0.2.0 (to make it: CUT=1)
	@$(BIN)/python scripts/release.py $(or $(VERSION),$(error Name the version: make release VERSION=0.2.0)) $(if $(CUT),--cut)

.PHONY: clean
clean: ## Remove .venv, .tools, caches and builds (not .boltq: that is data)
	rm -rf .venv .venv-* .tools dist site .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo

$(VENV_STAMP): requirements/build.txt
	@VENV=$(VENV) ON=$(ON) scripts/venv
	@touch $@

$(RUN_STAMP): $(VENV_STAMP) requirements/runtime.txt pyproject.toml
	@echo 'Installing what BoltQ needs.'
	@$(INSTALL) -r requirements/runtime.txt
	@$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@-$(COMPILE)
	@touch $@

$(DEV_STAMP): $(RUN_STAMP) requirements/dev.txt
	@echo 'Installing what the checks need.'
	@$(INSTALL) -r requirements/dev.txt
	@-$(COMPILE)
	@touch $@
