# The same targets people and CI use. They share one environment, .venv, made on first use.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test test-all lint format bench clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("SeeTell needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12") if sys.version_info < (3, 11) else 0'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing SeeTell and what it needs into $(VENV) (a few minutes, once) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[metrics,ui,dev]'
	touch $@

# Every decoder on the embedded suite, scored, with a leaderboard to open. A second time nothing is decoded twice.
demo: $(READY)
	$(BIN)/seetell run toybox-plain
	$(BIN)/seetell leaderboard toybox-plain

test: $(READY)
	$(BIN)/python -m pytest

# The heavy tests too: minutes, not seconds.
test-all: $(READY)
	$(BIN)/python -m pytest -m 'heavy or not heavy'

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Each decoder on the same images, seconds side by side; then MAGIC search against what was published, at full size (short).
bench: $(READY)
	$(BIN)/seetell bench decoders toybox-plain
	$(BIN)/seetell bench published magic-coco --batch-sizes 1,8 --published-images 1 --repeats 1 --no-memory

# The environment, caches and results of this folder; not the models, which are part of the source.
clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist results/runs results/leaderboard
