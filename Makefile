# Two commands for a newcomer: `make demo` and `make test`. Each sets up what it needs.
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help setup tools demo test test-all lint docs bench requirements clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

setup: .venv/.ready ## a virtual environment with Staunch and everything its tests use

.venv/.ready: pyproject.toml requirements/dev.txt scripts/setup
	scripts/setup
	@touch $@

tools: setup ## the real peers the tests speak with (apt-get install)
	scripts/peers

demo: setup ## build, test and explain the catalogue image `onnxruntime`
	scripts/demo

test: tools ## lint, types, unit, property, interop and real builds (some 20 minutes)
	CI=$${CI:-1} .venv/bin/nox -s lint test docs

test-all: tools ## the same, and every catalogue entry, profile and release (an hour)
	CI=$${CI:-1} .venv/bin/nox -s lint test test_all docs

lint: setup ## ruff, mypy, import-linter
	.venv/bin/nox -s lint

docs: setup ## the documentation, as HTML in docs/_build
	.venv/bin/nox -s docs

bench: tools ## the figures of docs/benchmarks.md
	.venv/bin/nox -s bench

requirements: setup ## lock the development requirements again
	.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	  --group dev --group docs --group syft pyproject.toml -o requirements/dev.txt

clean: ## remove the virtual environment and what was built
	rm -rf .venv .nox docs/_build out
