# One Makefile for everything that a developer runs. `make` lists the targets.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
STUBS := proto
# the Python of the images that deploy/Dockerfile builds on, whichever .venv has
IMAGE_PYTHON := 3.11
SUPPORTED := import sys; version = sys.version_info[:2]; \
    (3, 11) <= version <= (3, 13) or sys.exit("make: expected Python 3.11, 3.12 or 3.13, found \
    %d.%d at %s; name another: make PYTHON=python3.12 ..." % (version + (sys.executable,)))
LOCK := --universal --python-version 3.11 --generate-hashes --no-annotate \
    --custom-compile-command "make lock" --quiet

.DEFAULT_GOAL := help
.PHONY: help setup demo test fast fuzz check lint types contracts stubs stubs-check wheel \
    wheel-check newest-jax lock wheels docker-base docker-image clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.stamp ## Make .venv with everything pinned and hash-checked (no TensorFlow)

$(VENV)/.stamp: requirements.txt pyproject.toml
	@$(PYTHON) -c '$(SUPPORTED)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## Run the demonstration: an aggregator and five hospitals, one posterior
	$(BIN)/edge-node demo

test: setup ## Run all tests, and list the ten slowest
	$(BIN)/pytest --durations=10

fast: setup ## Run the tests that need no processes, no containers and little time
	$(BIN)/pytest -m "not slow and not docker"

fuzz: setup ## The long modes: a million inputs, ten thousand cohorts
	PYTHONPATH=.:proto nice $(BIN)/python -m tests.fuzz
	COHORTS=10000 nice $(BIN)/pytest tests/security/test_oracle.py

check: lint types contracts stubs-check wheel-check newest-jax ## Run everything else that CI runs
	@echo "make check: all passed"

lint: setup ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## Check types strictly
	$(BIN)/mypy

contracts: setup ## Check which module may import which
	$(BIN)/lint-imports

stubs: setup ## Regenerate the protobuf stubs
	$(BIN)/python -m grpc_tools.protoc --proto_path=proto --python_out=$(STUBS) \
	    --pyi_out=$(STUBS) --grpc_python_out=$(STUBS) proto/tangentmesh/v1/*.proto

stubs-check: setup ## Check that the committed stubs are what the protobuf files say
	@rm -rf build/stubs && mkdir -p build/stubs
	@$(MAKE) --no-print-directory stubs STUBS=build/stubs
	diff --recursive --exclude='*.proto' --exclude='__*' proto build/stubs || \
	    { echo "make: the stubs differ from the protobuf files; run: make stubs"; exit 1; }

wheel: setup ## Build wheel and source archive into dist/, with the pinned build tool
	$(BIN)/python -m hatchling build

wheel-check: setup ## Build the wheel and start it in a clean environment
	.ci/wheel-check $(BIN)/python

newest-jax: setup ## Run the core's tests on the newest JAX, without neural-tangents
	.ci/newest-jax $(BIN)/python

lock: .venv-lock/bin/uv ## Write the pins again (make lock UPGRADE=--upgrade: to the newest)
	$< pip compile pyproject.toml --all-extras --group test --group check $(LOCK) $(UPGRADE) \
	    --output-file requirements.txt
	$< pip compile pyproject.toml --extra privacy --constraint requirements.txt $(LOCK) $(UPGRADE) \
	    --output-file requirements-runtime.txt
	$< pip compile --group build --constraint requirements.txt $(LOCK) $(UPGRADE) \
	    --output-file requirements-build.txt

.venv-lock/bin/uv: Makefile
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv==$(UV_VERSION)

wheels: setup ## Download what an image needs, for builds that reach no package index
	$(BIN)/python -m pip download --quiet --require-hashes --no-deps --dest wheels \
	    --only-binary :all: --python-version $(IMAGE_PYTHON) \
	    -r requirements-runtime.txt -r requirements-build.txt

docker-base: ## Make a base image from Debian packages, where no image registry is reached
	deploy/base-image.sh

docker-image: ## Build the image (BASE_IMAGE=tangent-mesh-base:local after make docker-base)
	docker build $(if $(BASE_IMAGE),--build-arg BASE_IMAGE=$(BASE_IMAGE)) \
	    --file deploy/Dockerfile --tag tangent-mesh:local .

clean: ## Remove everything that was made here
	rm -rf .venv .venv-* build dist wheels report .*_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
