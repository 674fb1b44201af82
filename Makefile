# make demo    run it: the service, a small FHIR server and synthetic patients, on this machine only
# make test    everything that proves it
# The rest is for developers: make lint, make hapi, make corpus, make scoreboard, make bench, make sweep, make faults.

PYTHON ?= python3
CORPUS ?= ../shared/corpus/inputs
UV = $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN = .venv/bin/
READY = .venv/.ready

.PHONY: demo test lint hapi corpus scoreboard bench sweep faults
.DEFAULT_GOAL := test

demo: $(READY)
	@$(RUN)careplan demo

test: $(READY)
	@$(RUN)careplan profiles check
	@$(RUN)python -m pytest

lint: $(READY)
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports

hapi:
	@docker/hapi/run

corpus: $(READY)
	@$(RUN)python tools/corpus.py $(CORPUS)

scoreboard: $(READY)
	@$(RUN)python tools/scoreboard.py $(CORPUS)/..

bench: $(READY)
	@$(RUN)python tools/bench.py

sweep: $(READY)
	@$(RUN)python tools/sweep.py --write docs/sweep.md

# HAPI=http://127.0.0.1:8080/fhir measures that server too; `make hapi` starts one.
faults: $(READY)
	@$(RUN)python -m tests.faults --write docs/faults.md $(if $(HAPI),--hapi $(HAPI))

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
