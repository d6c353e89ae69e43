# Two commands on a fresh machine: `make demo` to see it work, `make test` to check it.
# Needs make and Python 3.11 or newer; everything else goes into .venv.

PYTHON ?= python3
ARGS ?=
VENV_PYTHON := .venv/bin/python
PIP := $(VENV_PYTHON) -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo tour test lint bench docs clean sft-train reward-train dpo-train gated-adapter infer-benchmark cost

help: ## list the targets (this)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

demo: .venv/.core ## the labelling page with sample tasks on http://127.0.0.1:7860 (ARGS="--port 8000" to change)
	@$(VENV_PYTHON) -m annotate.demo $(ARGS)

tour: .venv/.train ## from seed tasks to a gated adapter over five seeds, beside the truth (some minutes; ARGS="--seeds 1")
	@$(VENV_PYTHON) -m tour --workspace "$(WORKSPACE)" $(ARGS)

test: .venv/.test ## linters, types and every test (installs what they need)
	@sh tests/chromium.sh $(VENV_PYTHON)
	@$(MAKE) --no-print-directory lint
	$(VENV_PYTHON) -m pytest $(ARGS)

lint: .venv/.test ## format, lint and types, without changing a file
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m mypy

bench: .venv/.test ## measure in under 30 minutes and write docs/benchmarks.md (ARGS=NAME, --full, "--minutes 10")
	@$(VENV_PYTHON) -m bench.run $(ARGS)

docs: .venv/.docs ## the documentation as a site, in workspace/site; a link that leads nowhere is an error
	@NO_MKDOCS_2_WARNING=1 $(VENV_PYTHON) -m mkdocs build --site-dir "$(abspath $(WORKSPACE))/site"
	@echo "Open $(WORKSPACE)/site/index.html"

# Training: on the bundled judged sample and a tiny model made here; or DATA=folder of curate.export (or STORE= and
# PROJECT=, which are exported anew), MODEL=folder or Hub name.
WORKSPACE := $(or $(CONCORD_WORKSPACE),workspace)
CONFIG ?= $(if $(MODEL),train/configs/$(TASK).yaml,train/configs/tiny.yaml)
TINY := $(WORKSPACE)/tiny/manifest.json
PAIRS := $(WORKSPACE)/exports/$(if $(STORE),$(PROJECT),sample)/manifest.json
ANSWERS := $(WORKSPACE)/exports/$(if $(STORE),$(PROJECT),sample)-sft/manifest.json
TRAIN = $(VENV_PYTHON) -m train.$(TASK) $(or $(DATA),$(EXPORT)) --config $(CONFIG) --model $(or $(MODEL),$(WORKSPACE)/tiny) $(ARGS)

sft-train: TASK := sft
sft-train: EXPORT = $(dir $(ANSWERS))
sft-train: .venv/.train $(if $(MODEL),,$(TINY)) $(if $(DATA),,$(ANSWERS)) ## imitate good answers (DATA=, MODEL=, ARGS="--set epochs=3")
	@$(TRAIN)

reward-train: TASK := reward
reward-train: EXPORT = $(dir $(PAIRS))
reward-train: .venv/.train $(if $(MODEL),,$(TINY)) $(if $(DATA),,$(PAIRS)) ## a model that scores answers (DATA=, MODEL=, ARGS=)
	@$(TRAIN)

dpo-train gated-adapter: TASK := dpo
gated-adapter: RUN ?= $(WORKSPACE)/runs/gated
dpo-train gated-adapter: EXPORT = $(dir $(PAIRS))
dpo-train: .venv/.train $(if $(MODEL),,$(TINY)) $(if $(DATA),,$(PAIRS)) ## learn preferences directly (DATA=, MODEL=, ARGS=)
	@$(TRAIN)

gated-adapter: .venv/.train $(if $(MODEL),,$(TINY)) $(if $(DATA),,$(PAIRS)) ## DPO, its evaluation and the gate, one after another (CONTRACT=)
	@$(TRAIN) --out $(RUN) --force
	@$(VENV_PYTHON) -m train.evaluate $(RUN) --against $(or $(MODEL),$(WORKSPACE)/tiny) --force
	@$(VENV_PYTHON) -m train.gate $(RUN) --contract $(or $(CONTRACT),data/sample/contract.yaml)

infer-benchmark: .venv/.train ## speed, size and accuracy of a model's forms (RUN=workspace/runs/NAME, or MODEL=, else a tiny one)
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
# A .venv whose making was killed has a python already, and no pip yet.
.venv/.core: pyproject.toml constraints.txt | $(VENV_PYTHON)
	@$(PIP) --version >/dev/null 2>&1 || $(VENV_PYTHON) -m venv .venv
	@echo "Installing the core into .venv (about a minute, once) ..."
	@$(PIP) install --editable . --constraint constraints.txt
	@touch $@

.venv/.train: .venv/.core
	@echo "Installing what training needs into .venv, torch among it (some minutes, once) ..."
	@$(PIP) install --editable '.[train]' --constraint constraints.txt
	@touch $@

.venv/.docs: .venv/.core
	@echo "Installing what the site is made with into .venv (once) ..."
	@$(PIP) install --editable '.[docs]' --constraint constraints.txt
	@touch $@

.venv/.test: .venv/.core
	@echo "Installing what the tests need into .venv, torch among it (some minutes, once) ..."
	@$(PIP) install --editable '.[test,train]' --constraint constraints.txt
	@touch $@

# A folder appears whole: a Ctrl-C just afterwards must not take its manifest away, without which it is nobody's.
.PRECIOUS: $(TINY) $(PAIRS) $(ANSWERS)

$(TINY): | .venv/.train
	@echo "Making a tiny model (a minute or two, once) ..."
	@$(VENV_PYTHON) -m train.tiny --out $(@D)

# The sample has a store of its own, so that no project of yours is touched; a gate needs many held-out rows.
EXPORTED = @$(VENV_PYTHON) -m curate.export --store $(or $(STORE),sqlite:///$(WORKSPACE)/sample/judged.db) \
	--project $(or $(PROJECT),judged) --recipe data/sample/export.yaml --splits 55,5,40 --force --out $(@D)

$(WORKSPACE)/sample/.loaded: | .venv/.core
	@mkdir -p $(@D)
	@$(VENV_PYTHON) -m annotate.load data/sample/judged/tasks.jsonl --project judged --store sqlite:///$(@D)/judged.db
	@touch $@

$(PAIRS): $(if $(STORE),always) | $(if $(STORE),.venv/.core,$(WORKSPACE)/sample/.loaded)
	$(EXPORTED)

$(ANSWERS): $(if $(STORE),always) | $(if $(STORE),.venv/.core,$(WORKSPACE)/sample/.loaded)
	$(EXPORTED) --format sft

.PHONY: always
