# Two commands: `make demo` runs the whole workflow on bundled scenes, `make test` runs the checks.
PYTHON ?= python3
CORES ?= all
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: setup demo test test-more importers dist lint format clean

demo: setup
	snakemake --cores $(CORES) --quiet rules

test: setup
	pytest -n 2 --dist loadgroup -m "not slurm and not faults and not conda and not wheel"

# Some minutes more: a Slurm of its own on this machine (needs root, slurm-wlm and munge; skips with a reason elsewhere),
# runs that are killed again and again, what a change makes again, a system of one's own, the whole workflow from an
# installed wheel, and exported labels opened by the tools' own readers.
test-more: setup importers
	pytest -n 2 --dist loadgroup --no-loadscope-reorder -m "slurm or faults or wheel"
	USOD_IMPORTERS="$(CURDIR)/.importers" pytest tests/labels/test_importers.py

# The readers, in a folder of their own behind the environment's packages (pip warns of conflicts that are none then): a
# minute or two and 700 MB. FiftyOne takes three more:
# pip install --target .importers fiftyone.
importers: .importers/installed

.importers/installed: .venv/installed
	{ $(BIN)/python -m pip install --quiet --target .importers datumaro==1.13.12 label-studio-sdk==2.1.2 && \
		$(BIN)/python -m pip install --quiet --target .importers --no-deps ultralytics==8.4.190 ultralytics-thop==2.2.3 && \
		touch $@; } || echo "the labelling tools' readers cannot be installed here: their tests skip"

# The source archive, and the wheel built from it.
dist: setup
	rm -rf dist
	python -m build --no-isolation --outdir dist

lint: setup
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint
	mypy

format: setup
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

setup: .venv/installed

# The scripts of an environment name its folder, and its Python may be gone: one that was moved or copied, or whose Python
# was removed, is made anew.
BROKEN := $(shell test ! -e .venv/installed || { grep -qs "$(CURDIR)/$(BIN)/python" $(BIN)/snakemake && \
	$(BIN)/python -c ""; } 2> /dev/null || echo broken)
ifneq ($(BROKEN),)
.PHONY: .venv/installed
endif

# pydensecrf is a second backend of the CRF and the reference of ours: installed where it can be compiled, never needed.
.venv/installed: envs/requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "usod needs Python 3.11 or later; say which: make PYTHON=python3.12")'
	$(if $(BROKEN),rm -rf .venv)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement envs/requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	if command -v g++ > /dev/null || command -v clang++ > /dev/null; then \
		$(BIN)/python -m pip install --quiet --no-deps pydensecrf2==1.1 || echo "pydensecrf2 does not build here; going on without it"; \
	else echo "no C++ compiler: going on without the optional pydensecrf2"; fi
	touch $@

clean:
	rm -rf .venv .importers .snakemake results/* build dist
