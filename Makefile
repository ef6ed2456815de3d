# `make help` lists the commands. Each sets up what it needs; a second run is quick.

PYTHON ?= python3
export PYTHON

BIN := .venv/bin
PYTEST_ARGS ?=
TEST_PROCESSES ?= auto
BENCH_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help run test coverage check bench format screenshots lock clean setup setup-dev

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: setup ## Start the demo: the app, the Stripe emulator and the worker
	@exec $(BIN)/python -m saas.demo

# From Python 3.12 on coverage can measure at next to no cost.
COVERAGE_CORE = import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")

RUN_TESTS = $(BIN)/python -m pytest -n $(TEST_PROCESSES) --maxprocesses 8 --dist worksteal

test: setup-dev ## Run all tests (PYTEST_ARGS="-k checkout" for some of them)
	@chromium="$$($(BIN)/python scripts/chromium.py)" && CHROMIUM_PATH="$$chromium" $(RUN_TESTS) $(PYTEST_ARGS)

coverage: setup-dev ## The same, and say which lines no test runs; that takes half as long again
	@chromium="$$($(BIN)/python scripts/chromium.py)" && core="$$($(BIN)/python -c '$(COVERAGE_CORE)')" && \
		CHROMIUM_PATH="$$chromium" COVERAGE_CORE="$$core" $(RUN_TESTS) --cov --cov-report=term-missing $(PYTEST_ARGS)

check: setup-dev ## Lint, check the format, the types and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir .cache/import_linter

bench: setup-dev ## Measure speed, each figure beside a floor of the same run (BENCH_ARGS="--rounds 1")
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

format: setup-dev ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

screenshots: setup-dev ## Take pictures of the demo's main pages into screenshots/, and for the documents
	@chromium="$$($(BIN)/python scripts/chromium.py)" && \
		CHROMIUM_PATH="$$chromium" $(BIN)/python scripts/screenshots.py --docs

lock: ## Write the lock files anew (UPGRADE=1 for the newest versions)
	@scripts/lock.sh $(if $(UPGRADE),--upgrade)

clean: ## Remove what the commands made, the demo's data as well
	rm -rf .venv .cache .demo .ruff_cache .mypy_cache .pytest_cache .hypothesis .coverage screenshots dist

setup:
	@scripts/setup.sh run

setup-dev:
	@scripts/setup.sh dev
