# Everything a person types. `make demo` and `make test` set themselves up on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
export LITELLM_LOCAL_MODEL_COST_MAP := True
unexport PYTHONDONTWRITEBYTECODE  # compiled once, not in every run

.PHONY: help setup demo test check fix lint types floors unit faults attacks long pages soak bench lock clean
.DEFAULT_GOAL := help

help:  ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP)  ## Install everything (system packages and a virtual environment)

$(STAMP): requirements.lock cluster/docker/sandbox.lock cluster/setup.sh pyproject.toml
	@sh cluster/setup.sh "$(PYTHON)" "$(VENV)"
	@touch $@

demo: $(STAMP)  ## Run the main job on a bundled sample; no API key needed
	@$(BIN)/manta demo

$(STAMP)-test: $(STAMP)
	@sh cluster/setup.sh "$(PYTHON)" "$(VENV)" test
	@touch $@

test: $(STAMP)-test  ## The tests, two files at a time; the suites below have the longest ones
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 -m "not faults and not attacks and not soak and not pages and not long"

check: $(STAMP)  ## The quick one: format, lint, types, floors, unit tests, two at a time
	@$(MAKE) -s -j2 --output-sync=target types unit lint floors

lint: $(STAMP)
	@$(BIN)/ruff format --check -q . && $(BIN)/ruff check -q .

types: $(STAMP)
	@NODE_OPTIONS=--max-semi-space-size=128 $(BIN)/basedpyright --level error

floors: $(STAMP)
	@$(BIN)/lint-imports --no-logo > .floors.log 2>&1 || (cat .floors.log; exit 1)

unit: $(STAMP)
	@$(BIN)/python -m pytest -q --no-header -n 2 --dist worksteal \
		-m "not ray and not slow and not faults and not attacks and not soak and not pages"

fix: $(STAMP)  ## Format and mend what can be mended
	@$(BIN)/ruff check -q --fix . ; $(BIN)/ruff format -q .

faults: $(STAMP)-test  ## The long fault suite
	@$(BIN)/python -m pytest -m faults --timeout 900

attacks: $(STAMP)-test  ## The whole attack suite, as this user and as an ordinary one
	@$(BIN)/python -m pytest -m "not soak" --timeout 900 \
		tests/actors/sandbox/attacks tests/actors/sandbox/container tests/actors/sandbox/network \
		tests/actors/sandbox/workspace/test_full_disk.py tests/journeys/test_ray_beside.py

long: $(STAMP)-test  ## Whole journeys that go a tested way again in other surroundings
	@$(BIN)/python -m pytest -m long --timeout 900

pages: $(STAMP)-test  ## Every command that the pages tell
	@$(BIN)/python -m pytest -m pages --timeout 1200

soak: $(STAMP)-test  ## A week in fast motion
	@$(BIN)/python -m pytest -s -m soak --timeout 10800

bench: $(STAMP)  ## Our engine beside others; writes docs/benchmarks.md
	@$(BIN)/python -m benchmarks.engine

lock: $(STAMP)  ## Compile requirements.lock anew
	@$(BIN)/python -m pip install -q uv && $(BIN)/uv pip compile -q --universal --python-version 3.11 \
		--no-emit-index-url --no-header --generate-hashes --extra dev -o requirements.lock pyproject.toml

clean:  ## Remove what `setup` made here
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis *.egg-info
