# `make help` lists the targets. Each calls one command of the program, `arcface-gluon … --help` tells its options.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV ?= .venv
RECIPE ?= orl

# What users give reaches the program as they wrote it, through the environment: make expands nothing in it, and the
# shell sees only "$$NAME". ${NAME:+--option "$NAME"} is the shell's way to pass an option where a value was given.
GIVEN := RECIPE DATA LOSS SEED SET MODEL FEATURES BIN ROW PART CONTEXT SEEDS NP HOSTS RESTARTS GRACE TO IN OUT PHOTOS ARGS
GIVEN += FLIP SKIP RESUME GPU HOROVOD INTEROP DETECT PEERS DOCS
$(foreach name,$(GIVEN),$(eval override $(name) := $$(value $(name))))
export $(GIVEN)

RUN := $(VENV)/bin/arcface-gluon
PYTHON := $(VENV)/bin/python
comma := ,
READY := $(VENV)/.ready
# .ready names what is installed: the MXNet build (GPU=1 and GPU=0 change it), and what HOROVOD=1, INTEROP=1, DETECT=1 and FAST=1 add.
INSTALLED := $(shell cat $(READY) 2>/dev/null)
MXNET := $(if $(filter 1,$(GPU)),cu112,$(if $(filter 0,$(GPU)),cpu,$(or $(filter cpu cu112,$(INSTALLED)),cpu)))
BUILD := $(MXNET)$(if $(filter 1,$(HOROVOD))$(filter horovod,$(INSTALLED)), horovod)$(if $(filter 1,$(INTEROP))$(filter interop,$(INSTALLED)), interop)$(if $(filter 1,$(DETECT))$(filter detect,$(INSTALLED)), detect)$(if $(filter 1,$(FAST))$(filter fast,$(INSTALLED)), fast)

# ARGS is split at spaces, and nothing else in it means anything to the shell.
SPLIT = set -f;
# $(call switch,NAME,on,off): NAME=1 is on; NAME=0, or none, is off; anything else is refused.
switch = $(if $(filter-out 0 1,$($(1)))$(word 2,$($(1))),$(error $(1) is 1 or 0, not '$($(1))'),$(if $(filter 1,$($(1))),$(2),$(3)))
# FLIP=1 adds the mirror image, FLIP=0 leaves it out; without it each evaluation does as the paper's numbers were made.
MIRROR = $(if $(FLIP),$(call switch,FLIP,--flip,--no-flip))
# NP processes, on HOSTS.
RANKS = $${NP:+--np "$$NP"} $${HOSTS:+--hosts "$$HOSTS"}
# What the evaluations take: FEATURES where they are ready, MODEL, or the last run of RECIPE; the ORL one is trained
# where there is none.
EVALUATED = $(if $(FEATURES),--features "$$FEATURES",$(if $(MODEL),--model "$$MODEL",--recipe "$$RECIPE")) $${ROW:+--row "$$ROW"} $(RANKS)
SET_OR_DEMO = --data "$${DATA:-demo}" $(call switch,SKIP,--skip-missing) $$ARGS
# Recipes whose data can be made here.
PREPARED := $(if $(filter orl,$(RECIPE)),data)$(if $(filter synthetic,$(RECIPE)),data-synthetic)
TRAINED := $(if $(MODEL)$(FEATURES),,$(if $(filter orl,$(RECIPE)),orl-run))

# Every target that `make help` lists, and those in between.
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' Makefile) orl-run

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Settings: RECIPE=name DATA=/path LOSS=name SEED=n RESUME=1|auto NP=processes HOSTS=a:4,b:4 RESTARTS=n FLIP=0 SET='train.iterations=100 …' GPU=1"
	@echo "          ARGS='--quiet …': further options of the command that a target calls"

setup: $(READY) ## make .venv with pinned versions (GPU=1: CUDA build of MXNet; HOROVOD=1: several machines; INTEROP=1: other tools; DETECT=1: MTCNN and the demo; FAST=1: numba)

$(READY): setup.py constraints.txt scripts/make_venv.sh $(if $(subst $(BUILD),,$(INSTALLED))$(subst $(INSTALLED),,$(BUILD)),rebuild)
	@sh scripts/make_venv.sh $(VENV) $(subst $() ,$(comma),$(BUILD)),orl,dev
	@echo $(BUILD) > $@

.PHONY: rebuild
rebuild:

doctor recipes losses tables: $(READY)
	@$(RUN) $@

doctor: ## say what is installed, which devices there are, and what is wrong
recipes: ## list the recipes
losses: ## list the losses with equation and source
tables: ## the paper's Table 1 with the data that are here, Tables 2 to 9 with what is measured under runs/; what is missing

data: $(READY) ## prepare the ORL faces under datasets/orl
	@$(RUN) data orl

data-synthetic: $(READY) ## draw the procedural identities of the recipe synthetic (no faces)
	@$(RUN) data synthetic --for-recipe

data-check: $(READY) ## which data sets of Table 1 are in datasets/ (or DATA=folder): present, incomplete or absent
	@$(SPLIT) $(RUN) data check $${DATA:+"$$DATA"} $$ARGS

train: $(READY) $(PREPARED) ## train RECIPE (default orl), evaluate it and write its report
	@$(SPLIT) $(RUN) train "$$RECIPE" $(if $(filter auto,$(RESUME)),--auto-resume,$(call switch,RESUME,--resume)) \
		$(RANKS) $${RESTARTS:+--restarts "$$RESTARTS"} $${GRACE:+--grace "$$GRACE"} \
		$${DATA:+"data.path=$$DATA"} $${LOSS:+"loss=$$LOSS"} $${SEED:+"seed=$$SEED"} $${SET:+--set "$$SET"} $$ARGS

orl-run: $(READY)
	@test -d runs/orl/checkpoints || { $(RUN) data orl && $(RUN) train orl; }

eval-lfw: $(READY) $(TRAINED) ## Tables 2, 4, 5: RECIPE's last run, MODEL=path or FEATURES=x.npy, on .bin sets (BIN=file, DATA=folder or demo)
	@$(SPLIT) $(RUN) eval verification $(EVALUATED) $(MIRROR) $${BIN:+--bin "$$BIN"} $${DATA:+--data "$$DATA"} $$ARGS

eval-ytf: $(READY) $(TRAINED) ## Table 4: YouTube Faces in DATA=folder (default: a demo of the ORL faces)
	@$(SPLIT) $(RUN) eval ytf $(EVALUATED) $(MIRROR) $(SET_OR_DEMO)

eval-megaface: $(READY) $(TRAINED) ## Table 6, Figure 8: MegaFace in DATA=folder (default: a demo; ARGS='--sizes 10 …')
	@$(SPLIT) $(RUN) eval megaface $(EVALUATED) $(MIRROR) $(SET_OR_DEMO)

eval-ijb: $(READY) $(TRAINED) ## Table 7, Figure 9: IJB-B and IJB-C in DATA=folder (default: a demo of the ORL faces)
	@$(SPLIT) $(RUN) eval ijb $(EVALUATED) $(MIRROR) $(SET_OR_DEMO)

eval-trillion: $(READY) $(TRAINED) ## Table 8: Trillion-Pairs in DATA=folder (default: a demo; PART=10: a tenth, and the time of all)
	@$(SPLIT) $(RUN) eval trillion $(EVALUATED) $(MIRROR) $${PART:+--part "$$PART"} $(SET_OR_DEMO)

eval-iqiyi: $(READY) $(TRAINED) ## Table 9: iQIYI-VID in DATA=folder (default: a demo; MODEL='a b': ensemble; CONTEXT=file.npy)
	@$(SPLIT) $(RUN) eval iqiyi $(EVALUATED) $(MIRROR) $${CONTEXT:+--context "$$CONTEXT"} $(SET_OR_DEMO)

eval-orl: $(READY) data ## ArcFace, Norm-Softmax and no-learning baselines on ORL's unseen people, SEEDS=3 seeds
	@$(SPLIT) $(RUN) eval orl $(MIRROR) $${SEEDS:+--seeds "$$SEEDS"} $${SET:+--set "$$SET"} $$ARGS

ablation: $(READY) $(if $(DATA),,$(PREPARED)) ## Table 2: every loss with SEEDS=3 seeds; RECIPE=synthetic, or DATA (default orl; casia: the paper's)
	@$(SPLIT) $(RUN) eval ablation $(if $(filter-out orl,$(RECIPE)),--recipe "$$RECIPE") $${DATA:+--data "$$DATA"} \
		$${SEEDS:+--seeds "$$SEEDS"} $${LOSS:+--losses "$$LOSS"} $${SET:+--set "$$SET"} $$ARGS

experiments: $(READY) ## claims of later papers, tried on procedural identities: claim, figures, verdict (SEEDS=3)
	@$(SPLIT) $(RUN) eval experiments $${SEEDS:+--seeds "$$SEEDS"} $$ARGS

eval-unseen: $(READY) $(TRAINED) ## all pairs of unseen people, with intervals: RECIPE's last run or MODEL=run, DATA=folder
	@$(SPLIT) $(RUN) eval unseen $(if $(MODEL),"$$MODEL",--recipe "$$RECIPE") $${DATA:+--data "$$DATA"} $(MIRROR) $(RANKS) $$ARGS

eval-angles: $(READY) ## Table 3: angles under the losses of the ablation on DATA, or of MODEL=run
	@$(SPLIT) $(RUN) eval angles $${MODEL:+"$$MODEL"} $(MIRROR) $(RANKS) --recipe "$$RECIPE" $${DATA:+--data "$$DATA"} $${BIN:+--bin "$$BIN"} $$ARGS

export: $(READY) $(TRAINED) ## a model for other tools: RECIPE's last run, or MODEL=path (TO=onnx, mxnet, torch, npz; OUT=file; ARGS='--raw …')
	@$(SPLIT) $(RUN) export $(if $(MODEL),"$$MODEL",--recipe "$$RECIPE") $${TO:+--to "$$TO"} $${OUT:+--out "$$OUT"} $$ARGS

align: $(READY) ## faces of the photographs in IN=folder or list, turned and cropped into OUT=folder (needs make setup DETECT=1)
	@$(SPLIT) $(RUN) align "$$IN" "$$OUT" $$ARGS

pack: $(READY) ## aligned images of IN=folder of folders or list as records in OUT=folder (ARGS='--size 112 …')
	@$(SPLIT) $(RUN) pack "$$IN" "$$OUT" $$ARGS

from-photos: $(READY) ## align, split, pack, train RECIPE and verify on people's photographs in PHOTOS=folder (OUT=folder SET='…'; DETECT=1)
	@$(SPLIT) $(RUN) from-photos "$$PHOTOS" --out "$${OUT:-datasets/mine}" --recipe "$$RECIPE" $${SET:+--set "$$SET"} $$ARGS

demo: $(READY) ## a web page on this machine that compares faces (MODEL=path; ARGS='--gallery g.npz --threshold t.json'; DETECT=1)
	@$(SPLIT) $(RUN) demo $${MODEL:+--model "$$MODEL"} $$ARGS

interop: $(READY) data ## a mobile app's network, fetched by npm, on ORL's unseen people (needs make setup INTEROP=1)
	@$(SPLIT) $(RUN) eval interop $$ARGS

figures: $(READY) ## draw the paper's figures into runs/figures (MODEL=run BIN='a.bin b.bin' for 4a, 6, 7)
	@$(SPLIT) $(RUN) figures $${MODEL:+--run "$$MODEL"} $${BIN:+--bin "$$BIN"} --docs docs/figures $$ARGS

test: $(READY) ## run the tests (under 6 minutes on two cores)
	@$(PYTHON) -m pytest -q -m "not slow and not faults"

test-slow: $(READY) ## run the slow tests too
	@$(PYTHON) -m pytest -q -m slow

test-faults: $(READY) ## kill, flip, fill and fuzz: what docs/reliability.md counts (DOCS=1 writes it there)
	@OMP_NUM_THREADS=1 $(if $(DOCS),FAULTS_DOCS=docs/reliability.md )$(PYTHON) -m pytest -q -m faults tests/faults

docs: $(READY) ## build the documentation with its API reference into site/
	@test -x $(VENV)/bin/zensical || $(PYTHON) -m pip install -q -c constraints.txt zensical mkdocstrings-python
	@NO_COLOR=1 $(VENV)/bin/zensical build --clean --strict

mutants: $(READY) ## change sampled places of the code; list the changes no test notices (ARGS='--seed 1 --minutes 20')
	@$(SPLIT) $(PYTHON) scripts/mutants.py $$ARGS

lint: $(READY) ## check the code with ruff, format included, and its types with mypy (Python 3.10 or later)
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check -q ./
	@if $(PYTHON) -c 'import mypy' 2>/dev/null; then $(PYTHON) -m mypy; \
		else echo 'make lint: mypy is left out: it is not installed, or this Python is older than 3.10'; fi

bench: $(READY) ## measure speed and memory beside their floors (ARGS='head plan …': these parts; PEERS=1: beside PyTorch and faiss)
	@$(if $(filter 1,$(PEERS)),$(PYTHON) -m pip install -q -c constraints.txt --no-build-isolation -e '.[peers]')
	@$(SPLIT) $(RUN) bench $$ARGS

bench-quick: $(READY) ## the same, small, for a look at what changed: bench compare before.json after.json
	@$(RUN) bench --quick backbone head verification pipeline

bench-million: $(READY) ## train the class centres of a million identities over four devices; what fits which GPU
	@$(RUN) bench million

gpu-check: $(READY) ## compare a GPU with the CPU: head, ResNet50, half precision, two GPUs; post what it prints
	@$(SPLIT) $(RUN) bench gpu-check $$ARGS

clean: ## remove the environment and caches; runs/ and datasets/ stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .cache build site
