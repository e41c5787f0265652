# Every target that is not named here is a command of `rabbit`, and every VARIABLE=value its option --variable value:
# `make sft RECIPE=aog-8b GPUS=8` is `rabbit sft --recipe aog-8b --gpus 8`. `make help` lists both.

EXTRAS ?= train,dev

# What is given on the command line reaches a command through its environment, as it is: neither make nor a shell
# reads a value. So a variable of the shell that is called LANG or STAGE by chance counts for nothing, and those of
# this file are its own: `override` for each. What a loop calls its own is unexported in the place of what was given.
override EACH_GIVEN :=
override GIVEN := $(foreach EACH_GIVEN,$(.VARIABLES),\
	$(if $(filter command,$(firstword $(origin $(EACH_GIVEN)))),$(EACH_GIVEN)))
$(foreach EACH_GIVEN,$(filter-out PYTHON EXTRAS,$(GIVEN)),$(eval override RABBIT_$(EACH_GIVEN) := $$(value $(EACH_GIVEN)))\
	$(eval export RABBIT_$(EACH_GIVEN))$(eval unexport $(EACH_GIVEN)))
ifneq ($(origin PYTHON),undefined)
override PYTHON := $(value PYTHON)
export PYTHON
endif
override EXTRAS := $(value EXTRAS)
unexport EXTRAS
override export PYTHONUTF8 := 1
override SHELL := /bin/sh
override .SHELLFLAGS := -c

override BIN := .venv/bin
override READY := .venv/.ready
override PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

override .DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup check lint test FORCE

%: override export MAKE_GOAL = $@
%: FORCE | $(READY)
	@$(BIN)/rabbit "$$MAKE_GOAL"

Makefile FORCE: ;

# --- the project itself ---

help: ## list targets, recipes and variables
	@echo 'targets of make'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' Makefile
	@echo '  PYTHON=python3.12 EXTRAS=train,gpu,dev   setup: the interpreter, and what to install'
	@echo 'recipes (RECIPE=...)'
	@for recipe in axolotl_configs/*/sft.yaml; do name=$$(basename "$$(dirname "$$recipe")"); \
		printf '  %-19s %s\n' "$$name" "$$(head -1 "$$recipe" | cut -c3-)"; done
	@if test -x $(BIN)/rabbit; then $(BIN)/rabbit --help; else echo 'commands: after `make setup`'; fi

setup: $(READY) ## make .venv, and install torch and the project

# The environment is up to date where .venv/.ready holds what pyproject.toml holds, and Python and the command are there;
# naming PYTHON or EXTRAS asks for it.
override IS_READY := $(shell cmp -s pyproject.toml $(READY) && test -x $(BIN)/python && test -x $(BIN)/rabbit && echo yes)
ifneq ($(IS_READY)$(if $(filter setup,$(value MAKECMDGOALS)),$(filter PYTHON EXTRAS,$(GIVEN))),yes)
$(READY): FORCE
endif

override COMMA := ,
override KNOWN = $(shell sed -n '/^\[project.optional-dependencies\]/,/^\[/s/^\([a-z0-9-]*\) = \[.*/\1/p' pyproject.toml)
override ASKED = $(subst $(COMMA), ,$(EXTRAS))
override CHOSEN = $(filter $(KNOWN),$(ASKED))
override listed = $(subst $() ,$(COMMA),$(strip $(1)))
# flash-attn is compiled against the torch that is installed, so it cannot be built in isolation from it, and comes last.
override FLASH = $(filter flash-attn,$(CHOSEN))
override BUILD_TOOLS := setuptools wheel packaging ninja psutil 'hatchling>=1.27,<2' editables

ifeq ($(origin PYTHON),undefined)
$(READY): export PYTHON = $(shell for python in python3 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
endif
$(READY):
	@$(if $(filter-out $(KNOWN),$(ASKED)),echo 'setup: EXTRAS is a list of some of $(call listed,$(KNOWN))' >&2; exit 1,:)
	@test -n "$$PYTHON" || { echo 'setup: Python 3.11 or newer is needed: install it (apt install python3.11-venv, or' \
		'pyenv install 3.12), then run `make setup PYTHON=python3.12`' >&2; exit 1; }
	@"$$PYTHON" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { printf \
		'setup: %s is not there, older than 3.11, or without venv (apt install python3-venv)\n' "$$PYTHON" >&2; exit 1; }
	@rm -f $@
	@$(if $(filter PYTHON,$(GIVEN)),test "$$($(BIN)/python --version 2>&1)" = "$$("$$PYTHON" --version)" || rm -rf .venv,:)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf .venv; "$$PYTHON" -m venv .venv; }
	@echo 'setup: installing torch, then what pyproject.toml lists for [$(call listed,$(CHOSEN))], into .venv; that takes minutes'
	@$(PIP) torch==2.13.0
	@$(if $(FLASH),$(BIN)/python -m rabbit_ko.training.flash_attn,:)
	@$(PIP) -e '.[$(call listed,$(subst flash-attn,train,$(CHOSEN)))]'
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
