# Every target that is not named here is a command of `rabbit`, and every VARIABLE=value its option --variable value:
# `make sft RECIPE=aog-8b GPUS=8` is `rabbit sft --recipe aog-8b --gpus 8`. `make help` lists both.

PYTHON ?= $(shell for python in python3 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
EXTRAS ?= train,dev

BIN := .venv/bin
READY := .venv/.ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# What is given on the command line reaches a command through its environment, as it is: neither make nor a shell
# reads a value. So a variable of the shell that is called LANG or STAGE by chance counts for nothing.
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
$(foreach name,$(filter-out PYTHON EXTRAS,$(GIVEN)),\
	$(eval override RABBIT_$(name) := $$(value $(name)))$(eval export RABBIT_$(name))$(eval unexport $(name)))
export PYTHONUTF8 := 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup check lint test FORCE

%: FORCE | $(READY)
	@$(BIN)/rabbit $@

Makefile FORCE: ;

# --- the project itself ---

help: ## list targets, recipes and variables
	@echo 'targets of make'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' Makefile
	@echo '  PYTHON=python3.12 EXTRAS=train,gpu,dev   setup: the interpreter, and what to install'
	@echo 'recipes (RECIPE=...)'
	@for recipe in axolotl_configs/*/sft.yaml; do name=$$(basename $$(dirname $$recipe)); \
		printf '  %-17s %s\n' "$$name" "$$(head -1 $$recipe | cut -c3-)"; done
	@if test -x $(BIN)/rabbit; then $(BIN)/rabbit --help; else echo 'commands: after `make setup`'; fi

setup: $(READY) ## make .venv, and install torch and the project

# The environment is up to date where .venv/.ready holds what pyproject.toml holds; naming PYTHON or EXTRAS asks for it.
ifneq ($(shell cmp -s pyproject.toml $(READY) && echo same)$(if $(filter setup,$(MAKECMDGOALS)),$(filter PYTHON EXTRAS,$(GIVEN))),same)
$(READY): FORCE
endif

# flash-attn is compiled against the torch that is installed, so it cannot be built in isolation from it, and comes last.
FLASH := $(findstring flash-attn,$(EXTRAS))
BUILD_TOOLS := setuptools wheel packaging ninja psutil 'hatchling>=1.27,<2' editables

$(READY):
	@test -n "$(PYTHON)" || { echo 'setup: Python 3.11 or newer is needed: install it (apt install python3.11-venv, or' \
		'pyenv install 3.12), then run `make setup PYTHON=python3.12`' >&2; exit 1; }
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
		'setup: $(PYTHON) is not there, older than 3.11, or without venv (apt install python3-venv)' >&2; exit 1; }
	@$(if $(filter PYTHON,$(GIVEN)),test "$$($(BIN)/python --version 2>&1)" = "$$($(PYTHON) --version)" || rm -rf .venv,:)
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo 'setup: installing torch, then what pyproject.toml lists for [$(EXTRAS)], into .venv; that takes minutes'
	@$(PIP) torch==2.13.0
	@$(if $(FLASH),$(BIN)/python -m rabbit_ko.training.flash_attn,:)
	@$(PIP) -e '.[$(subst flash-attn,train,$(EXTRAS))]'
	@$(if $(FLASH),$(PIP) $(BUILD_TOOLS) && $(PIP) --no-build-isolation -e '.[$(FLASH)]',:)
	@cp pyproject.toml $@

test: | $(READY) ## run the tests, with axolotl end to end
	$(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder

lint: | $(READY) ## check format, style, types and the floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

check: lint ## what to run while working: lint, and the tests that are fast
	$(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder -m 'not slow'
