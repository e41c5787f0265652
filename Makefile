# Data, SFT, merge, DPO and evaluation for one recipe. `make help` lists what there is.

RECIPE ?= smoke
STAGE ?= sft
ARGS ?=
PROMPT ?=
SYSTEM ?=
N ?= 10
ID ?=
HTML ?=
WHAT ?= tokenize
ROWS ?= 20000
STEPS ?= 20
WORKERS ?=
EXECUTOR ?=
REPO ?=
PUBLIC ?=
FRESH ?=
# IFEval writes 1,280 tokens an answer, which takes a CPU a minute.
SMOKE_TASKS := kobest,haerae,gsm8k_ko
TASKS ?= $(if $(filter smoke,$(RECIPE)),$(SMOKE_TASKS))
LIMIT ?= $(if $(filter smoke,$(RECIPE)),6)
TEMPLATE ?=
BACKEND ?=
HUB_DIR ?= $(if $(filter smoke,$(RECIPE)),rabbit_ko/evaluation/samples/hub)
MODEL_URL ?=
MODEL_NAME ?=
JUDGE_URL ?=
JUDGE_MODEL ?=
QUESTIONS ?= $(if $(filter smoke,$(RECIPE)),rabbit_ko/evaluation/samples/logickor.jsonl)
STRATEGY ?=
MERGED ?=
GOOD ?=
BAD ?=
TOKENIZER ?= $(shell sed -n 's/^base_model: *//p' $(CONFIG)/sft.yaml)
PYTHON ?= $(shell for python in python3 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
EXTRAS ?= train,dev
GPUS ?= $(shell nvidia-smi --list-gpus 2>/dev/null | wc -l)
DEEPSPEED = $(wildcard .venv/lib/python*/site-packages/deepspeed)
SHARDING ?= $(if $(and $(filter-out 0 1,$(GPUS)),$(filter-out smoke,$(RECIPE)),$(DEEPSPEED)),zero2)
GPU_MEMORY ?= 80
GPU ?=
LAUNCH ?=

BIN := .venv/bin
READY := .venv/.ready
CONFIG := axolotl_configs/$(RECIPE)
DATA := data/$(RECIPE)
RUN := runs/$(RECIPE)
RECIPES := $(patsubst axolotl_configs/%/data.yaml,%,$(wildcard axolotl_configs/*/data.yaml))

$(if $(filter $(RECIPE),$(RECIPES)),,$(error there is no recipe `$(RECIPE)`; recipes: $(RECIPES)))

# An engine is a file beside the recipes, for DeepSpeed or for the guard to lay over the stage; ddp needs none.
SHARDINGS := $(patsubst %.json,%,$(notdir $(wildcard axolotl_configs/deepspeed/*.json))) \
	$(patsubst %.yaml,%,$(notdir $(wildcard axolotl_configs/fsdp/*.yaml)))
SHARDING_ARGS = $(if $(wildcard axolotl_configs/deepspeed/$(SHARDING).json),\
	--deepspeed=axolotl_configs/deepspeed/$(SHARDING).json)$(if $(wildcard axolotl_configs/fsdp/$(SHARDING).yaml),\
	--guard-sharding=axolotl_configs/fsdp/$(SHARDING).yaml)
$(if $(filter-out ddp $(SHARDINGS),$(SHARDING)),$(error there is no sharding `$(SHARDING)`; shardings: ddp $(SHARDINGS)))

# Accelerate takes all GPUs of the machine unless it is told how many processes there are.
GPUS_ARE_NAMED := $(findstring command,$(origin GPUS))
PROCESSES := $(and $(GPUS_ARE_NAMED),$(filter-out 0,$(GPUS)),--num_processes=$(GPUS) $(if $(filter-out 1,$(GPUS)),--multi_gpu))

# Axolotl reports its runs to its makers, after ten seconds of waiting, unless it is told not to.
export AXOLOTL_DO_NOT_TRACK := 1
ifeq ($(RECIPE),smoke)
export HF_HUB_OFFLINE := 1
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup data report push-data plan sft merge dpo curves chat inspect eval logickor results card push-model all \
	bench test lint FORCE has-sft

help: ## list targets, recipes and variables
	@echo 'targets'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' Makefile
	@echo 'recipes (RECIPE=...)'
	@for recipe in $(RECIPES); do printf '  %-17s %s\n' $$recipe "$$(head -1 axolotl_configs/$$recipe/sft.yaml | cut -c3-)"; done
	@echo 'variables'
	@echo '  RECIPE=$(RECIPE)    the folder under axolotl_configs/'
	@echo '  STAGE=$(STAGE)       the stage that is merged, inspected, evaluated or described: sft or dpo, to evaluate also base'
	@echo '  ARGS="..."      overrides for axolotl, such as ARGS="--learning-rate=1e-4"; they always run the stage'
	@echo '  FRESH=1         sft, dpo: start afresh instead of going on from the last checkpoint of an interrupted run'
	@echo '  PROMPT="..."    chat: ask this once; SYSTEM="..." gives the instruction'
	@echo '  N=10            inspect: how many rows; ID=... one row by its id; HTML=file writes a page instead'
	@echo '  WHAT=tokenize   bench: what to time, on ROWS=20000 rows with TOKENIZER=..., a folder or a hub id'
	@echo '  WHAT=train      bench: training steps of RECIPE=aog-8b, or rabbit-ko-3b, beside its fast one; STEPS=20'
	@echo '  WORKERS=4       data: processes, all cores by default; EXECUTOR=ray runs on the cluster at RAY_ADDRESS'
	@echo '  REPO=org/name   push-data: the hub data set, or a URL such as s3://bucket/folder; private unless PUBLIC=1'
	@echo '  GPUS=8          sft, dpo: so many of this machine, all by default; plan: GPUs in all, of GPU_MEMORY=80 GiB each,'
	@echo '                  with hours for GPU=h100'
	@echo '  SHARDING=zero2  ddp, $(SHARDINGS); zero2 with several GPUs where DeepSpeed is installed'
	@echo '  LAUNCH="..."    sft, dpo: arguments of accelerate, in the place of GPUS, for several machines'
	@echo '  TASKS=a,b       eval: kobest, haerae, gsm8k, gsm8k_ko, ifeval, by default all, for smoke three; LIMIT=8; TEMPLATE=on|off'
	@echo '  BACKEND=vllm    eval: instead of transformers; HUB_DIR=... data from a folder laid out like the hub'
	@echo '  MODEL_URL=...   eval, logickor: an OpenAI-compatible server that has the model as MODEL_NAME=...'
	@echo '  JUDGE_URL=...   logickor: the judge, as JUDGE_MODEL=...; QUESTIONS=file, STRATEGY=1-shot or cot-1-shot'
	@echo '  LANG=en         card: in English; GOOD=file, BAD=file an answer to show; push-model: REPO=org/name, MERGED=1, PUBLIC=1'
	@echo '  PYTHON=...      setup: the interpreter, 3.11 or newer; EXTRAS=train,gpu,dev what to install'

# --- environment ---

# flash-attn is compiled against the torch that is installed, so it cannot be built in isolation from it.
BUILD_TOOLS := setuptools wheel packaging ninja psutil 'hatchling>=1.27,<2' editables

PYTHON_IS_NAMED := $(findstring command,$(origin PYTHON))

setup: $(READY) ## make .venv and install torch, then the project

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo 'setup: Python 3.11 or newer is needed: install it (apt install python3.11-venv, or' \
		'pyenv install 3.12), then run `make setup PYTHON=python3.12`' >&2; exit 1; }
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
		'setup: $(PYTHON) is not there, older than 3.11, or without venv (apt install python3-venv)' >&2; exit 1; }
	@$(if $(PYTHON_IS_NAMED),test "$$($(BIN)/python --version 2>&1)" = "$$($(PYTHON) --version)" || rm -rf .venv,:)
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install torch==2.13.0
	$(if $(findstring gpu,$(EXTRAS)),$(BIN)/python -m pip install $(BUILD_TOOLS))
	$(BIN)/python -m pip install $(if $(findstring gpu,$(EXTRAS)),--no-build-isolation) -e '.[$(EXTRAS)]'
	@touch $@

# Naming an interpreter or extras asks for them, whatever was there before.
ifneq ($(and $(filter setup,$(MAKECMDGOALS)),$(PYTHON_IS_NAMED)$(findstring command,$(origin EXTRAS))),)
$(READY): FORCE
endif

# --- data ---

data: $(DATA)/manifest.json ## build the recipe's parquet shards

$(DATA)/manifest.json: $(CONFIG)/data.yaml prompt_strategies/prompt_injection.py prompt_strategies/template.py \
		$(wildcard $(addprefix dataset_builders/,*.py sources/*.py gates/*.py)) | $(READY)
	$(BIN)/python -m dataset_builders build $< --out $(@D) --make-deps $(@D)/inputs.mk \
		$(if $(WORKERS),--workers $(WORKERS)) $(if $(EXECUTOR),--executor $(EXECUTOR))

-include $(DATA)/inputs.mk

push-data: export HF_HUB_OFFLINE :=
push-data: $(DATA)/manifest.json ## push the shards with a card to REPO=org/name, or to a URL
	@test -n "$$REPO" || { echo 'push-data: say where: make push-data RECIPE=$(RECIPE) REPO=org/name' >&2; exit 2; }
	$(BIN)/python -m dataset_builders push $(DATA) "$$REPO" $(if $(filter 1,$(PUBLIC)),--public)

# A build leaves a stage's shards untouched where their bytes stay the same. So the stages build the data first and then
# look at the shards alone; one that the build has taken away counts as changed.
shards = $(or $(wildcard $(DATA)/$(1)/*.parquet),$(DATA)/manifest.json)
$(DATA)/%.parquet: ;

# --- before training ---

# What `make bench WHAT=train` has measured of the recipe and its fast one.
MEASURED ?= runs/bench/train/$(RECIPE:-fast=).json

plan: | $(READY) ## estimate memory, steps, tokens and hours on GPUS=1 of GPU_MEMORY=80 GiB
	@$(BIN)/python -m rabbit_ko.planning $(CONFIG) --gpus $(or $(filter-out 0,$(GPUS)),1) --gpu-memory $(GPU_MEMORY) \
		$(if $(SHARDING),--sharding $(SHARDING)) $(if $(GPU),--gpu $(GPU)) \
		$(if $(wildcard $(MEASURED)),--measured $(MEASURED)) $(ARGS)

# --- training: run.json is written last, by the guard, so it stands for a finished run ---

PROMPT_CODE := $(addprefix prompt_strategies/,template.py chat_template.py turns.py tokens.py prompt_injection.py)
SFT_TYPES := $(shell sed -n 's/.*type: prompt_strategies\.\([a-z_]*\).*/\1/p' $(CONFIG)/sft.yaml 2>/dev/null | sort -u)
SFT_CODE := $(PROMPT_CODE) prompt_strategies/sft.py $(SFT_TYPES:%=prompt_strategies/%.py)
DPO_CODE := $(PROMPT_CODE) prompt_strategies/dpo.py
BASE := $(if $(wildcard $(CONFIG)/make_base_model.py),$(RUN)/base/model.safetensors)
# A recipe without sft.yaml brings its own base for DPO.
SFT_MERGED := $(if $(wildcard $(CONFIG)/sft.yaml),$(RUN)/sft/merged/tokenizer_config.json)

# Only 1 means fresh.
AFRESH := $(if $(filter 1,$(FRESH)), --guard-fresh=true)

# Overrides are for the stages that are named on the command line, and each such call is a run of its own.
stage_args = $(if $(filter $(1),$(MAKECMDGOALS)),$(ARGS))

# Preferences are tokenized by TRL's trainer itself, so there is nothing to preprocess for DPO.
define train
	@$(BIN)/python -m axolotl_plugins.preflight $(CONFIG)/$(1).yaml
	$(if $(filter sft,$(1)),$(BIN)/python -m axolotl.cli.preprocess $(CONFIG)/$(1).yaml $(call stage_args,$(1)))
	$(BIN)/accelerate launch --quiet $(or $(LAUNCH),$(PROCESSES)) -m axolotl.cli.train $(CONFIG)/$(1).yaml \
		$(SHARDING_ARGS)$(AFRESH) $(call stage_args,$(1))
	@test -f $@ || { echo '$(1): the run ended early: $@ is missing' >&2; exit 1; }
endef

sft: $(DATA)/manifest.json $(RUN)/sft/run.json ## train the LoRA adapter on the conversations

$(RUN)/sft/run.json: $(CONFIG)/sft.yaml $(SFT_CODE) $(BASE) $(call shards,sft) \
		$(if $(call stage_args,sft),FORCE) | $(READY)
	$(call train,sft)

merge: $(DATA)/manifest.json $(RUN)/$(STAGE)/merged/tokenizer_config.json ## merge a stage's adapter into its base

$(RUN)/%/merged/tokenizer_config.json: $(RUN)/%/run.json | $(READY)
	$(BIN)/axolotl merge-lora $(CONFIG)/$*.yaml || { rm -rf $(@D); exit 1; }

dpo: $(CONFIG)/dpo.yaml has-sft $(DATA)/manifest.json $(RUN)/dpo/run.json ## train a LoRA adapter on the preferences

$(RUN)/dpo/run.json: $(CONFIG)/dpo.yaml $(DPO_CODE) $(SFT_MERGED) $(call shards,dpo) \
		$(if $(call stage_args,dpo),FORCE) | $(READY)
	$(call train,dpo)

curves: | $(READY) ## draw loss, learning rate, gradient norm and margins: runs/<recipe>/<stage>/curves.png
	@$(BIN)/python -m rabbit_ko.inspection.curves $(RUN)

# Hours of SFT should not start because someone asked for DPO.
sft_is_missing = $(if $(filter sft,$(MAKECMDGOALS)),,$(shell test -f $(RUN)/sft/run.json || echo yes))
has-sft:
	@$(if $(and $(SFT_MERGED),$(sft_is_missing)),$(error dpo starts from the merged SFT model and there is none in \
		$(RUN)/sft; run `make sft RECIPE=$(RECIPE)` first),:)

$(RUN)/base/model.safetensors: $(CONFIG)/make_base_model.py prompt_strategies/template.py \
		prompt_strategies/chat_template.py $(wildcard dataset_builders/samples/*) | $(READY)
	$(BIN)/python $< $(@D)

$(CONFIG)/%.yaml:
	$(error recipe $(RECIPE) has no $(@F))

# --- trying it out ---

chat: | $(READY) ## ask the latest stage; PROMPT="..." for one answer
	@$(BIN)/python -m rabbit_ko.evaluation.chat $(RUN) --prompt "$$PROMPT" --system "$$SYSTEM"

# As written: a dollar sign in a question is a dollar sign.
override PROMPT := $(value PROMPT)
override SYSTEM := $(value SYSTEM)
override ID := $(value ID)
override HTML := $(value HTML)
export PROMPT SYSTEM ID HTML REPO

inspect: $(DATA)/manifest.json $(BASE) ## show rows with their mask
	@$(BIN)/python -m rabbit_ko.inspection.rows $(CONFIG)/$(STAGE).yaml --rows $(N) \
		$(if $(ID),--id "$$ID") $(if $(HTML),--html "$$HTML")

report: $(DATA)/manifest.json $(BASE) ## write a page about the recipe's data: data/<recipe>/report.html, or HTML=file
	$(BIN)/python -m rabbit_ko.inspection.report $(DATA) $(wildcard $(CONFIG)/sft.yaml $(CONFIG)/dpo.yaml) \
		--out $(if $(HTML),"$$HTML",$(DATA)/report.html)

# --- measuring it ---

SERVER = $(if $(MODEL_URL),--model-url "$$MODEL_URL" --model-name "$$MODEL_NAME")
# Every shell has a LANG of its own, which says nothing about the card.
CARD_LANGUAGE := $(if $(findstring command,$(origin LANG)),$(LANG),ko)
export MODEL_URL MODEL_NAME JUDGE_URL JUDGE_MODEL QUESTIONS HUB_DIR GOOD BAD
export PYTHONUTF8 := 1

eval: $(BASE) | $(READY) ## evaluate STAGE=base, sft or dpo on the tasks of the model cards
	@$(BIN)/python -m rabbit_ko.evaluation.harness $(RECIPE) $(STAGE) $(if $(TASKS),--tasks $(TASKS)) \
		$(if $(LIMIT),--limit $(LIMIT)) $(if $(TEMPLATE),--template $(TEMPLATE)) \
		$(if $(BACKEND),--backend $(BACKEND)) $(if $(HUB_DIR),--hub-dir "$$HUB_DIR") $(SERVER) $(ARGS)

logickor: $(BASE) | $(READY) ## answer LogicKor's questions and have them judged by JUDGE_MODEL at JUDGE_URL
	@test -n "$$JUDGE_URL" -a -n "$$JUDGE_MODEL" || { echo 'logickor: who judges? JUDGE_URL=http://host/v1' \
		'JUDGE_MODEL=name, an OpenAI-compatible server' >&2; exit 2; }
	@$(BIN)/python -m rabbit_ko.evaluation.logickor run $(RECIPE) $(STAGE) --judge-url "$$JUDGE_URL" \
		--judge-model "$$JUDGE_MODEL" $(if $(QUESTIONS),--questions "$$QUESTIONS") \
		$(if $(STRATEGY),--strategy $(STRATEGY)) $(SERVER) $(ARGS)

results: | $(READY) ## put base, sft and dpo side by side: a table and a chart in runs/<recipe>/eval/
	@$(BIN)/python -m rabbit_ko.evaluation.results $(RECIPE)

card: | $(READY) ## write a stage's model card from what was measured, in Korean, or with LANG=en in English
	@$(BIN)/python -m rabbit_ko.publishing.model_card write $(RECIPE) $(STAGE) --lang $(CARD_LANGUAGE) \
		$(if $(GOOD),--good "$$GOOD") $(if $(BAD),--bad "$$BAD") $(ARGS)

push-model: export HF_HUB_OFFLINE :=
push-model: | $(READY) ## push a stage's adapter, or its merged model with MERGED=1, to REPO=org/name
	@test -n "$$REPO" || { echo 'push-model: say where: make push-model RECIPE=$(RECIPE) REPO=org/name' >&2; exit 2; }
	@$(BIN)/python -m rabbit_ko.publishing.model_card push $(RECIPE) $(STAGE) "$$REPO" $(if $(filter 1,$(MERGED)),--merged) \
		$(if $(filter 1,$(PUBLIC)),--public)

TRAINED = $(if $(wildcard $(CONFIG)/sft.yaml),sft) $(if $(wildcard $(CONFIG)/dpo.yaml),dpo)

all: ## data, every stage, its evaluation, LogicKor where there is a JUDGE_URL, results and the last stage's card
	$(MAKE) data $(TRAINED)
	for stage in base $(TRAINED); do $(MAKE) eval STAGE=$$stage ARGS= || exit 1; done
	$(if $(JUDGE_URL),for stage in base $(TRAINED); do $(MAKE) logickor STAGE=$$stage ARGS= || exit 1; done)
	$(MAKE) results
	$(MAKE) card STAGE=$(lastword $(TRAINED)) ARGS=

bench: $(if $(filter tokenize,$(WHAT)),$(DATA)/manifest.json $(BASE)) | $(READY) ## time what docs/benchmarks.md shows
	$(BIN)/python -m rabbit_ko.benchmarks.$(WHAT) $(if $(filter tokenize,$(WHAT)),$(DATA)/sft $(TOKENIZER) --rows $(ROWS)) \
		$(if $(filter train,$(WHAT)),$(RECIPE:smoke=aog-8b) --steps $(STEPS)) $(ARGS)

# --- the project itself ---

test: | $(READY) ## run the tests, with axolotl end to end
	$(BIN)/pytest

lint: | $(READY) ## check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
