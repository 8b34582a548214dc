# Bulkhead. `make` prints this help; CONTRIBUTING.md explains what each part needs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

CLUSTER ?= kind
export CLUSTER
PYTHON ?= python3
UV_VERSION := 0.13.9
# A uv on the PATH is used; otherwise one is installed into .tools, for this checkout only.
UV := $(or $(shell command -v uv),.tools/uv/bin/uv)
RUN := $(UV) run --frozen
export PYTHONPATH := tools:operator:sandbox-image/src
export PATH := $(CURDIR)/.tools/uv/bin:$(PATH)
PYTHON_SOURCES := operator sandbox-image tools tests bench
# Points kubectl, helm and every test at the cluster that `make cluster-up` made.
WITH_CLUSTER = eval "$$($(RUN) python -m cluster env)"

##@ Everything
.PHONY: demo
demo: cluster-up images load ## bring up a real cluster, install Bulkhead, show isolation, repair and expiry
	$(WITH_CLUSTER); $(RUN) python -m demo

.PHONY: test
test: lint verify-generated ## every test: lint, unit, API server, real cluster (started and stopped here)
	$(RUN) python -m testrun

##@ Parts
.PHONY: lint
lint: .venv ## ruff, mypy, import rules
	$(RUN) ruff check $(PYTHON_SOURCES)
	$(RUN) ruff format --check $(PYTHON_SOURCES)
	$(RUN) mypy -p bulkhead -p bulkhead_wire -p bulkhead_sandbox -p cluster -p images -p generate -p kubelive -p model_standin -p prompt_bleed -p demo -p testrun
	PYTHONPATH=operator:sandbox-image/src $(RUN) lint-imports

.PHONY: unit
unit: .venv ## pure tests, no cluster, under a minute
	$(RUN) pytest tests/unit tests/property tests/golden tests/contract tests/docs

.PHONY: api
api: ## tests against a real API server (needs `make cluster-up images load`)
	$(WITH_CLUSTER); $(RUN) pytest tests/api tests/chart

.PHONY: cluster
cluster: ## tests with real pods and packets (needs `make cluster-up images load`)
	$(WITH_CLUSTER); $(RUN) pytest tests/cluster

.PHONY: golden
golden: .venv ## rewrite the golden files; review the diff
	$(RUN) pytest tests/golden --update-golden

.PHONY: bench
bench: cluster-up images load ## measure, JSON lines to bench/results/
	$(WITH_CLUSTER); $(RUN) python bench/run.py

.PHONY: bench-gateway
bench-gateway: .venv ## what a gateway adds to a model's answers; no cluster needed
	$(RUN) python bench/gateway.py

##@ Cluster and images
.PHONY: cluster-up
cluster-up: .venv ## a kind cluster with an enforcing network engine and gVisor (CLUSTER=current: use yours)
	$(RUN) python -m cluster up

.PHONY: cluster-down
cluster-down: .venv ## delete the cluster and everything it left on this machine
	$(RUN) python -m cluster down

.PHONY: cluster-status
cluster-status: .venv ## what runs, and where
	$(RUN) python -m cluster status

.PHONY: env
env: .venv ## shell settings for kubectl, helm and bulkhead: eval "$(make -s env)"
	@$(RUN) python -m cluster env
	@echo 'export PATH="$(CURDIR)/.venv/bin:$$PATH"'

.PHONY: images
images: .venv ## build the operator and the sandbox image
	$(RUN) python -m images build

.PHONY: load
load: .venv ## put both images into the cluster's nodes
	$(RUN) python -m images load

##@ Generated files
.PHONY: generate
generate: .venv ## CRDs, reference pages and rights from models and chart
	$(RUN) python -m generate

.PHONY: verify-generated
verify-generated: .venv ## fail if a generated file is not current
	$(RUN) python -m generate --check

##@ Housekeeping
.PHONY: clean
clean: ## remove build and test leftovers of this checkout (the cluster stays: make cluster-down)
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench/results dist

.PHONY: help
help: ## this text
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# ------------------------------------------------------------------------------------------------------------------
.tools/uv/bin/uv:
	$(PYTHON) -m venv .tools/uv
	.tools/uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv: pyproject.toml uv.lock | $(filter .tools/%,$(UV))
	$(UV) sync --frozen --quiet
	@touch .venv
