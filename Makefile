# The Python that .venv is made with: 3.11 or newer.
PYTHON ?= python3
# pyenv would take the version that .python-version asks of Heroku; here it takes what it takes elsewhere.
ifndef PYENV_VERSION
export PYENV_VERSION := $(shell cd / && pyenv version-name 2>/dev/null)
endif
# What `make test` is given besides, e.g. TESTS="tests/web -x".
TESTS ?=

BIN := .venv/bin
TOOLS := .venv/tools/bin

# A word for each target that is no file; a file of that name would hide it.
.PHONY: help demo test verify-deploy run lint format bench chaos lock licences audit clean runtime dev tools

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: runtime ## rooms end at a fake Twilio; see their reports arrive in a fake Slack and at a webhook (a quarter of a minute)
	@$(BIN)/python -m local.demo

test: dev ## every test, also on Debian's redis-server where it is installed; TESTS="tests/web -k name" for some
	@$(BIN)/python -m pytest -n 4 $(TESTS)

run: runtime ## the service for real use, with the settings of .env (cp config/sample.env .env); Ctrl-C stops it
	@$(BIN)/python -m local.run

lint: dev ## ruff, its formatting, and mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: dev ## put the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: dev ## how fast it is, beside what one would write otherwise: about seven minutes
	@$(BIN)/python -m bench

verify-deploy: dev ## slow proofs of Dockerfile, compose, Kubernetes, Heroku, systemd; as root on Debian also in containers
	@local/verify-deploy.sh $(TESTS)

chaos: dev ## kill everything at random and count what is lost; ROOMS=10000 SEED=7 OLD=v0.1 for a worker of that commit
	@$(BIN)/python -m tests.chaos $(if $(ROOMS),--rooms $(ROOMS)) $(if $(SEED),--seed $(SEED)) $(if $(OLD),--old $(OLD)) $(if $(SLACK_APP),--slack-app) $(if $(EVENTS),--events)

lock: tools ## the lock files, after a change of requirements*.txt; UPGRADE=1 takes the newest of what is not pinned
	@$(PYTHON) -m local.lock --uv $(TOOLS)/uv $(if $(UPGRADE),--upgrade)
	@$(MAKE) --no-print-directory licences

licences: runtime ## docs/licences.md, from what the installed packages say
	@$(BIN)/python -m local.licences

audit: tools ## known vulnerabilities of what is locked; asks pypi.org, and fails when it does not know a package
	@$(TOOLS)/pip-audit --strict --disable-pip --require-hashes --requirement requirements.lock

clean: ## remove .venv and caches; var/, which holds the data of `make run`, stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

runtime:
	@$(PYTHON) local/install.py requirements.txt

tools:
	@test $(TOOLS)/pip-audit -nt requirements-tools.txt || { $(PYTHON) -m venv --clear .venv/tools && \
	  $(TOOLS)/pip install --quiet --disable-pip-version-check -r requirements-tools.txt; }

dev: runtime
	@$(PYTHON) local/install.py requirements-dev.txt
