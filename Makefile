# make demo    run it: the service, a small FHIR server and synthetic patients, on this machine only
# make test    everything that proves it
# The rest is for developers: make lint, make generate, make translations, make coverage, make mutants, make hapi,
# make corpus, make scoreboard, make extraction, make bench, make sweep, make published, make faults,
# make screenshots.

PYTHON ?= python3
# What others have published and is not part of this project: FHIR resources, labelled dosages, schedules.
CORPUS ?= ../shared/corpus/inputs
CLINICAL ?= ../shared/clinical
UV = $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN = .venv/bin/
READY = .venv/.ready

.PHONY: demo test lint generate translations coverage mutants hapi corpus scoreboard extraction bench sweep published faults \
  screenshots
.DEFAULT_GOAL := test

demo: $(READY)
	@$(RUN)careplan demo

# What needs Java runs by itself: one server for all of it, and some of it measures time.
ON_EVERY_CORE = -n auto --maxprocesses 4 --dist loadfile
test: $(READY)
	@$(RUN)careplan profiles check
	@$(RUN)python -m pytest -m "not hapi" $(ON_EVERY_CORE)
	@$(RUN)python -m pytest -m hapi

lint: $(READY)
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports

# Every branch of the taper, by tests that call it directly; not by chance, so without the laws and the published tapers.
BY_CHANCE = --ignore=tests/taper/test_laws.py --ignore=tests/taper/test_published.py
coverage: $(READY)
	@$(RUN)python -m pytest tests/taper -q $(BY_CHANCE) --cov=careplan.taper --cov-branch \
	  --cov-report=term-missing:skip-covered --cov-fail-under=100

# Hours on one core: each line of the taper changed in turn, to see a test fail. CHILDREN=4 where there are cores.
CHILDREN ?= 2
mutants: $(READY)
	@$(RUN)mutmut run --max-children $(CHILDREN)
	@$(RUN)mutmut results

generate: $(READY)
	@$(RUN)python tools/questionnaires.py
	@$(RUN)careplan profiles generate

# Brings careplan/translations up to date with what the patient's pages say.
translations: $(READY)
	@$(RUN)python -m tools.translations

hapi:
	@docker/hapi/run

# $(call needs,PATH,SETTING): what a target measures has to be there.
define needs
@test -e $(1) || { echo "There is no $(1). What others have published is not part of this project: name your copy, make $@ $(2)=FOLDER"; exit 1; }
endef

corpus: $(READY)
	$(call needs,$(CORPUS),CORPUS)
	@$(RUN)python tools/corpus.py $(CORPUS)

scoreboard: $(READY)
	$(call needs,$(CORPUS)/../score_dosages.py,CORPUS)
	@$(RUN)python tools/scoreboard.py $(CORPUS)/..

extraction: $(READY)
	$(call needs,$(CORPUS),CORPUS)
	@$(RUN)python tools/extraction.py --write docs/extraction.md $(if $(filter %inputs,$(CORPUS)),$(CORPUS)/../sdc,$(CORPUS)) $(FORMS)

# Starts a real HAPI, twice, and needs Java and Maven for it.
bench: $(READY)
	@$(RUN)python tools/bench.py
	@$(RUN)python tools/bench_apply.py
	@$(RUN)python tools/bench_load.py

sweep: $(READY)
	@$(RUN)python -m tools.sweep --write docs/sweep.md

published: $(READY)
	$(call needs,$(CLINICAL)/published_schedules.json,CLINICAL)
	@$(RUN)python tools/published.py $(CLINICAL)/published_schedules.json --write docs/published.md

# HAPI=http://127.0.0.1:8080/fhir measures that server too; `make hapi` starts one.
faults: $(READY)
	@$(RUN)python -m tests.faults --write docs/faults.md $(if $(HAPI),--hapi $(HAPI))

# The pictures in docs/screens, of the demo on a day that never changes. Needs chromium.
.PHONY: screenshots
screenshots: $(READY)
	@$(RUN)python tools/screenshots.py

# Needs the network once; afterwards nothing is fetched until the lock file changes.
$(READY): uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "careplan needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another one: make PYTHON=python3.12"; exit 1; }
	@command -v uv >/dev/null 2>&1 || test -x .uv/bin/uv || { \
	  echo "Fetching uv, which fetches the rest ..."; \
	  $(PYTHON) -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check "uv>=0.5"; } || { \
	  rm -rf .uv; echo "uv could not be installed. Is there a network, and the venv module (Debian: apt install python3-venv)?"; exit 1; }
	@echo "Installing the locked dependencies ..."
	@UV_PYTHON_DOWNLOADS=never $(UV) sync --frozen --python $(PYTHON) || { \
	  echo "The dependencies could not be installed. The first run needs the network; try again when it is there."; exit 1; }
	@touch $@
