# Everything a person types here; Python 3.11 or newer and make are all that must be there.

PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run ready test check bench chaos

help:
	@echo 'make run     set up .venv and start trunx, with the demo IVR when the data folder is empty'
	@echo '             (TRUNX_DEMO_AI=1: with a stand-in for Ultravox, to try agents without a key)'
	@echo 'make test    install what the tests need (some of it as root) and run them all'
	@echo 'make check   formatting, lint, types, and the floors of the house'
	@echo 'make bench   measure calls per second, memory, and turnaround'
	@echo 'make chaos   place calls while trunx, Asterisk and what is between them die, ten times'

run: .venv/installed
	@export TRUNX_DEMO=$${TRUNX_DEMO:-1}; \
	if [ "$${TRUNX_DEMO_AI:-0}" = 1 ]; then unset TRUNX_DEMO_AI; \
		exec $(BIN)/python -m tests.peers.ultravox -- $(BIN)/trunx serve; fi; \
	exec $(BIN)/trunx serve

test: ready
	@.ci/test

check: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed-dev
	$(BIN)/python -m tests.bench

chaos: ready
	$(BIN)/python -m tests.chaos

ready: .venv/installed-dev
	.ci/packages

# A stamp is written when all is installed, so that an installation that was cut off is begun again.

.venv/installed: pyproject.toml
	$(call install,.)
	@touch $@

.venv/installed-dev: pyproject.toml
	$(call install,.[dev])
	@touch $@ .venv/installed

define install
	@test -n '$(PYTHON)' || { echo 'trunx needs Python 3.11 or newer: name one with make PYTHON=...' >&2; exit 1; }
	@test -x $(BIN)/pip || { echo 'making .venv with $(PYTHON)'; $(PYTHON) -m venv .venv; }
	@echo 'installing $(1) into .venv'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '$(1)'
endef
