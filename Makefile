# Everything to work on lading, from nothing but Python 3.11 or later. `make` says what there is.

VENV := .venv
PY := $(VENV)/bin/python
ARGS ?=
# Tests wait for other programs most of the time: two processes for each core.
export PYTEST_XDIST_AUTO_NUM_WORKERS ?= $(shell expr 2 \* $$(nproc 2>/dev/null || echo 2))

.DEFAULT_GOAL := help
.PHONY: help demo pages test lint types check format bench venv lock clean

help:
	@echo 'make demo    see lading at work, against a registry of its own'
	@echo 'make test    run the tests but the slow ones  (ARGS="-k name" for some, LADING_TEST_REAL=all for every one)'
	@echo 'make lint    formatting, lint, architecture'
	@echo 'make types   mypy and pyright, strict'
	@echo 'make check   lint, types and tests: what must hold'
	@echo 'make format  put the formatting right'
	@echo 'make bench   measure lading beside its peers, and write docs/benchmarks.md   (ARGS="--group copies" for some)'
	@echo 'make pages   make again what is made from the code: JSON documents, public names, lint codes, mirror files, help'
	@echo 'make venv    only make $(VENV), with everything the others need'
	@echo 'make lock    pin the dependencies again   (ARGS=--upgrade for newer ones)'
	@echo 'make clean   remove what was made'

demo: $(VENV)/.ready
	@$(VENV)/bin/lading demo $(ARGS)

test: $(VENV)/.ready-dev
	$(PY) -m pytest -n auto $(if $(LADING_TEST_REAL),,-m 'not slow') $(ARGS)

lint: $(VENV)/.ready-dev
	$(PY) -m ruff format --check
	$(PY) -m ruff check
	$(VENV)/bin/lint-imports --no-cache --no-logo

types: $(VENV)/.ready-dev
	$(PY) -m mypy
	$(VENV)/bin/pyright

check: lint types test

format: $(VENV)/.ready-dev
	$(PY) -m ruff format
	$(PY) -m ruff check --fix

# Installs the peers first. Takes about 40 minutes, on a machine that does nothing else.
bench: $(VENV)/.ready-dev
	@bash -euc '. .ci/peers.sh; debian_install docker-registry docker.io podman skopeo; go_peers; \
	  exec $(PY) -m bench.run --write $(ARGS)'

pages: $(VENV)/.ready-dev
	$(PY) docs/describe_json.py > docs/json.md
	$(PY) docs/describe_api.py > docs/reference.md
	$(PY) docs/describe_lint.py
	$(PY) docs/describe_mirror.py
	$(PY) docs/describe_help.py

venv: $(VENV)/.ready-dev

# The runtime alone is enough for the demo; the tools come on top of it, in the same place and the same versions.
$(VENV)/.ready: requirements.txt pyproject.toml | $(PY)
	@echo 'Installing what lading needs into $(VENV)'
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.ready-dev: requirements-dev.txt $(VENV)/.ready
	@echo 'Installing the tools into $(VENV)'
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

# A Python without ensurepip (Debian keeps it in a package of its own) gets it where that needs no password.
$(PY):
	@set -e; \
	for python in python3 python3.14 python3.13 python3.12 python3.11; do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
		python=; \
	done; \
	if [ -z "$$python" ]; then echo 'lading needs Python 3.11 or later; none was found on PATH' >&2; exit 1; fi; \
	if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
		package=$$($$python -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'); \
		if [ "$$(id -u)" = 0 ]; then root=; else root='sudo -n'; fi; \
		if ! command -v apt-get >/dev/null || ! $$root true 2>/dev/null; then \
			echo "$$python has no ensurepip; install it first: apt-get install $$package" >&2; exit 1; \
		fi; \
		echo "Installing $$package"; \
		export DEBIAN_FRONTEND=noninteractive; \
		$$root apt-get install -qq -y --no-install-recommends $$package >/dev/null 2>&1 || { \
			$$root apt-get update -qq; \
			$$root apt-get install -qq -y --no-install-recommends $$package >/dev/null; \
		}; \
	fi; \
	echo "Making $(VENV) with $$($$python --version)"; \
	$$python -m venv --clear $(VENV)

# Versions and hashes only, good for every platform and Python: whoever installs chooses where packages come from.
COMPILE = .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-header --no-emit-index-url --no-emit-find-links $(ARGS) --extra aws --extra serve --extra yaml pyproject.toml requirements.in

lock: | $(PY)
	$(PY) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(COMPILE) --output-file requirements.txt
	$(COMPILE) requirements-dev.in --constraint requirements.txt --output-file requirements-dev.txt

clean:
	rm -rf $(VENV) .venv-lock build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
