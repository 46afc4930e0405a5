# The same targets people and CI use. They share one environment, .venv, made on first use.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: demo test test-all lint format bench gpu gate baseline leaderboard leaderboard-check docs screenshots clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("SeeTell needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12") if sys.version_info < (3, 11) else 0'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing SeeTell and what it needs into $(VENV) (a few minutes, once) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[metrics,ui,postgres,data,train,site,distributed,dev]'
	touch $@

# Every decoder on the embedded suite, scored, with a leaderboard to open. A second time nothing is decoded twice.
demo: $(READY)
	$(BIN)/seetell run toybox-plain
	$(BIN)/seetell leaderboard toybox-plain

test: $(READY)
	$(BIN)/python -m pytest -n auto --dist loadfile

# The heavy tests too: minutes, not seconds.
test-all: $(READY)
	$(BIN)/python -m pytest -n auto --dist loadfile -m 'heavy or not heavy'

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Each decoder on the same images, seconds side by side; then MAGIC search against what was published, at full size (short).
bench: $(READY)
	$(BIN)/seetell bench decoders toybox-plain --results build/bench
	$(BIN)/seetell bench published magic-coco --batch-sizes 1,8 --published-images 1 --repeats 1 --no-memory

# On a machine with a GPU: are its texts right, how fast do they come, how much memory do they take? One page, eight minutes at most.
gpu: $(READY)
	$(BIN)/seetell bench gpu --out build/gpu.md

# Is any decoder of the embedded suite worse than the accepted baseline? 0 no, 1 yes, 2 could not judge (docs/gate.md).
gate: $(READY)
	rm -rf build/gate
	$(BIN)/seetell run toybox-plain --results build/gate
	$(BIN)/seetell gate toybox-plain --results build/gate --baseline results/baselines/toybox-plain.json

# Accept what the code does now as the baseline: after a change that was meant to change texts or scores.
baseline: $(READY)
	rm -rf build/baseline
	$(BIN)/seetell run toybox-plain --results build/baseline
	$(BIN)/seetell gate toybox-plain --accept --results build/baseline --baseline results/baselines/toybox-plain.json

# The committed leaderboard of the embedded suites, from nothing: six suites decoded and scored (minutes), then the site. Its bytes
# follow from results alone. `leaderboard-check` says whether the committed one is current.
EMBEDDED := toybox-plain toybox-ornate toybox-plain-to-ornate toybox-ornate-to-plain toybox-stories toybox-stories-retrieved
leaderboard leaderboard-check: $(READY)
	rm -rf build/leaderboard
	mkdir -p build/leaderboard
	cp -R results/published build/leaderboard/
	if [ -d results/speed ]; then cp -R results/speed build/leaderboard/; fi
	for suite in $(EMBEDDED); do $(BIN)/seetell run $$suite --results build/leaderboard || exit 1; done
	$(BIN)/seetell leaderboard --results build/leaderboard --out results/leaderboard $(if $(filter leaderboard-check,$@),--check,--reproducible)

# The pages of docs/ that are made from the code: the Python API, every key of a suite, every setting of a decoder.
docs: $(READY)
	$(BIN)/python docs/reference_pages.py

# The README's pictures of the committed leaderboard, in a Chromium.
screenshots: $(READY)
	$(BIN)/python docs/screenshots.py

# The environment, caches and results of this folder; not the models, which are part of the source.
clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist results/runs results/site
