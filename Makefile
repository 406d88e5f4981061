# `make help` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV ?= .venv
RECIPE ?= orl
RUN := $(VENV)/bin/arcface-gluon
PYTHON := $(VENV)/bin/python
comma := ,
READY := $(VENV)/.ready
# .ready names what is installed: the MXNet build (GPU=1 and GPU=0 change it), and horovod (HOROVOD=1 adds it).
INSTALLED := $(shell cat $(READY) 2>/dev/null)
MXNET := $(if $(filter 1,$(GPU)),cu112,$(if $(filter 0,$(GPU)),cpu,$(or $(filter cpu cu112,$(INSTALLED)),cpu)))
BUILD := $(MXNET)$(if $(filter 1,$(HOROVOD))$(filter horovod,$(INSTALLED)), horovod)

# Values given to make, as overrides of the recipe.
OVERRIDES := $(if $(DATA),'data.path=$(DATA)') $(if $(LOSS),loss=$(LOSS)) $(if $(SEED),seed=$(SEED)) $(SET)

# What the evaluations take: MODEL, FEATURES where they can be ready, or the last run of RECIPE; the ORL one is trained
# where there is none.
EVALUATED := $(if $(FEATURES),--features '$(FEATURES)',$(if $(MODEL),--model '$(MODEL)',--recipe $(RECIPE))) $(if $(ROW),--row '$(ROW)')
ENSEMBLE := $(if $(word 2,$(MODEL)),$(foreach m,$(MODEL),--model '$(m)') $(if $(ROW),--row '$(ROW)'),$(EVALUATED))
TRAINED := $(if $(MODEL)$(FEATURES),,$(if $(filter orl,$(RECIPE)),orl-run))

.PHONY: help setup doctor recipes losses data train orl-run eval-lfw eval-orl eval-ytf eval-megaface eval-ijb eval-trillion eval-iqiyi ablation eval-angles figures tables test test-slow lint bench bench-million clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "Settings: RECIPE=$(RECIPE) DATA=/path LOSS=name SEED=n RESUME=1 NP=processes SET='train.iterations=100 …' GPU=1"

setup: $(READY) ## make .venv with pinned versions (GPU=1: CUDA build of MXNet; HOROVOD=1: several machines)

$(READY): setup.py constraints.txt scripts/make_venv.sh $(if $(subst $(BUILD),,$(INSTALLED))$(subst $(INSTALLED),,$(BUILD)),rebuild)
	@sh scripts/make_venv.sh $(VENV) $(subst $() ,$(comma),$(BUILD)),orl,dev
	@echo $(BUILD) > $@

.PHONY: rebuild
rebuild:

doctor: $(READY) ## say what is installed, which devices there are, and what is wrong
	@$(RUN) doctor

recipes: $(READY) ## list the recipes
	@$(RUN) recipes

losses: $(READY) ## list the losses with equation and source
	@$(RUN) losses

data: $(READY) ## prepare the ORL faces under datasets/orl
	@$(PYTHON) datasets/orl.py

train: $(READY) $(if $(filter orl,$(RECIPE)),data) ## train RECIPE (default orl), evaluate it and write its report
	@test -z '$(NP)' -o -x $(VENV)/bin/horovodrun || { echo "make: NP=$(NP) needs Horovod; run: make setup HOROVOD=1" >&2; exit 2; }
	@$(if $(NP),$(VENV)/bin/horovodrun -np $(NP) --gloo )$(RUN) train $(RECIPE) $(if $(RESUME),--resume) $(OVERRIDES)

orl-run: $(READY)
	@test -d runs/orl/checkpoints || { $(PYTHON) datasets/orl.py && $(RUN) train orl; }

eval-lfw: $(READY) $(TRAINED) ## Tables 2, 4, 5: RECIPE's last run, or MODEL=path, on its .bin sets (BIN=file, DATA=folder or demo)
	@$(PYTHON) eval/verification.py $(EVALUATED) $(foreach b,$(BIN),--bin '$(b)') $(if $(DATA),--data '$(DATA)')

eval-ytf: $(READY) $(TRAINED) ## Table 4: YouTube Faces in DATA=folder (default: a demo of the ORL faces)
	@$(PYTHON) eval/ytf.py $(EVALUATED) --data '$(or $(DATA),demo)' $(if $(SKIP),--skip-missing)

eval-megaface: $(READY) $(TRAINED) ## Table 6, Figure 8: MegaFace in DATA=folder (default: a demo of the ORL faces; SET='--sizes 10 …')
	@$(PYTHON) eval/megaface.py $(EVALUATED) --data '$(or $(DATA),demo)' $(if $(SKIP),--skip-missing) $(SET)

eval-ijb: $(READY) $(TRAINED) ## Table 7, Figure 9: IJB-B and IJB-C in DATA=folder (default: a demo of the ORL faces)
	@$(PYTHON) eval/ijb.py $(EVALUATED) --data '$(or $(DATA),demo)' $(if $(SKIP),--skip-missing) $(SET)

eval-trillion: $(READY) $(TRAINED) ## Table 8: Trillion-Pairs in DATA=folder (default: a demo; PART=10: a tenth, and the time of all)
	@$(PYTHON) eval/trillion.py $(EVALUATED) --data '$(or $(DATA),demo)' $(if $(PART),--part $(PART)) $(if $(SKIP),--skip-missing) $(SET)

eval-iqiyi: $(READY) $(TRAINED) ## Table 9: iQIYI-VID in DATA=folder (default: a demo; MODEL='a b': ensemble; CONTEXT=file.npy)
	@$(PYTHON) eval/iqiyi.py $(ENSEMBLE) --data '$(or $(DATA),demo)' $(if $(CONTEXT),--context '$(CONTEXT)') $(if $(SKIP),--skip-missing) $(SET)

eval-orl: $(READY) data ## ArcFace, Norm-Softmax and no-learning baselines on ORL's unseen people, SEEDS=3 seeds
	@$(PYTHON) eval/orl.py $(if $(SEEDS),--seeds $(SEEDS)) $(SET)

ablation: $(READY) $(if $(DATA),,data) ## Table 2: every loss with SEEDS=3 seeds, on DATA (default orl; casia: the paper's setting; RECIPE)
	@$(PYTHON) eval/ablation.py $(if $(filter-out orl,$(RECIPE)),--recipe $(RECIPE)) $(if $(DATA),--data '$(DATA)') $(if $(SEEDS),--seeds $(SEEDS)) $(if $(LOSS),--losses $(LOSS)) $(SET)

eval-angles: $(READY) ## Table 3: angles under the losses of the ablation on DATA, or of MODEL=run
	@$(PYTHON) eval/angles.py $(MODEL) --recipe $(RECIPE) $(if $(DATA),--data '$(DATA)') $(foreach b,$(BIN),--bin $(b))

figures: $(READY) ## draw the paper's figures into runs/figures (MODEL=run BIN='a.bin b.bin' for 4a, 6, 7)
	@$(RUN) figures $(foreach m,$(MODEL),--run $(m)) $(foreach b,$(BIN),--bin $(b)) --docs docs/figures

tables: $(READY) ## collect all that is measured under runs/ into the paper's Tables 2 to 9; say what is missing
	@$(RUN) tables

test: $(READY) ## run the tests (under 6 minutes on two cores)
	@$(PYTHON) -m pytest -q -m "not slow"

test-slow: $(READY) ## run the slow tests too
	@$(PYTHON) -m pytest -q -m slow

lint: $(READY) ## check the code with ruff, format included
	@$(PYTHON) -m ruff check . && $(PYTHON) -m ruff format --check -q .

bench: $(READY) ## measure speed and memory beside their floors (SET='head plan …': these parts only)
	@$(PYTHON) benchmarks/run.py $(SET)

bench-million: $(READY) ## train the class centres of a million identities over four devices; what fits which GPU
	@$(PYTHON) benchmarks/million.py

clean: ## remove the environment and caches; runs/ and datasets/ stay
	rm -rf $(VENV) .pytest_cache .ruff_cache build
