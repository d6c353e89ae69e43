# Two commands on a fresh machine: `make demo` to see it work, `make test` to check it.
# Needs make and Python 3.11 or newer; everything else goes into .venv.

PYTHON ?= python3
ARGS ?=
VENV_PYTHON := .venv/bin/python
PIP := $(VENV_PYTHON) -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench infer-benchmark cost clean

help: ## list the targets (this)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

demo: .venv/.core ## the labelling page with sample tasks on http://127.0.0.1:7860 (ARGS="--port 8000" to change)
	@$(VENV_PYTHON) -m annotate.demo $(ARGS)

test: .venv/.test ## linters, types and every test (installs what they need)
	@sh tests/chromium.sh $(VENV_PYTHON)
	@$(MAKE) --no-print-directory lint
	$(VENV_PYTHON) -m pytest $(ARGS)

lint: .venv/.test ## format, lint and types, without changing a file
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m mypy

bench: .venv/.test ## measure the figures the README gives (some minutes)
	@$(VENV_PYTHON) bench/run.py $(ARGS)

infer-benchmark: .venv/.test ## speed, size and accuracy of a model's forms (RUN=workspace/runs/NAME, or MODEL=, else a tiny one)
	@$(VENV_PYTHON) -m bench.infer $(if $(RUN),--run "$(RUN)") $(if $(MODEL),--model "$(MODEL)") $(if $(DATA),--data "$(DATA)") $(ARGS)

cost: .venv/.core ## memory, GPU and hours of 7B, 13B and 70B by full, LoRA and QLoRA (ARGS="--task sft --price 2")
	@$(VENV_PYTHON) -m train.estimate --table $(ARGS)

clean: ## remove .venv and caches; workspace/, where the work is, stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist ./*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV_PYTHON):
	@for python in "$(PYTHON)" python3 python3.14 python3.13 python3.12 python3.11; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			"$$python" -m venv .venv && exit 0; rm -rf .venv; exit 2; \
		fi; \
	done; \
	echo "Concord needs Python 3.11 or newer, and none is on the PATH; install it, or name one: make demo PYTHON=/path/to/python3.12" >&2; exit 2

# A stamp is newer than what it was installed from, so a second run installs nothing.
.venv/.core: pyproject.toml constraints.txt | $(VENV_PYTHON)
	@echo "Installing the core into .venv (about a minute, once) ..."
	@$(PIP) install --editable . --constraint constraints.txt
	@touch $@

.venv/.test: .venv/.core
	@echo "Installing what the tests need into .venv, torch among it (some minutes, once) ..."
	@$(PIP) install --editable '.[test,train]' --constraint constraints.txt
	@touch $@
