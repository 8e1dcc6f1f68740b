# make run     the demonstration: environment, Airflow, a volume through the whole pipeline
# make stop    end what was started
# make test    the tests, in two processes
# make test-long   slow variants of them, and ten times as many examples of each property
# make chaos   a cluster on which everything is killed; about twenty minutes, result in docs/reliability.md
# make lint    ruff and mypy
# make kernel-coverage    which lines of the kernels the tests run, without compiling them
# make lock    requirements.txt again from pyproject.toml
# make lock-check   whether requirements.txt answers pyproject.toml on each Python that we run on
# make secrets the secrets of docker-compose.yml, in secrets/; those that are there stay
# make clean   stop, and remove the environment and the state folder (its runs as well)

# The first that runs: 3.11 is what we measure on. A name in PATH need not run (pyenv), nor have ensurepip (Debian).
VERSIONS := 3.11 3.12 3.13
PYTHON ?= $(shell for name in $(VERSIONS:%=python%) python3; do \
    $$name -c 'import ensurepip, sys; sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv[1:])' $(VERSIONS) \
    2>/dev/null && echo $$name && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
INSTALLED := $(VENV)/.installed

.PHONY: run stop test test-long chaos lint kernel-coverage lock lock-check secrets clean install

run: $(INSTALLED)
	$(BIN)/seuron demo

stop:
	@if [ -x $(BIN)/seuron ]; then $(BIN)/seuron down; fi

test: $(INSTALLED)
	$(BIN)/python -m pytest -n 2

test-long: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 -m "(long or hypothesis) and not chaos" --hypothesis-profile=thorough

chaos: $(INSTALLED)
	SEURON_CHAOS_TABLE=1 $(BIN)/python -m pytest tests/chaos tests/integration -m chaos

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/mypy

# Compiled code cannot be traced. Integers of plain numpy warn where the compiled ones wrap on purpose.
kernel-coverage: $(INSTALLED)
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m coverage run -m pytest tests/abiss_py -q \
	    -W "ignore:overflow encountered in scalar:RuntimeWarning"
	$(BIN)/python -m coverage report

install: $(INSTALLED)

# pip takes torch, because it also finds builds that are not on the public index, such as those
# without CUDA; uv is several times faster at the other two hundred packages.
$(INSTALLED): requirements.txt pyproject.toml
	@[ -x $(BIN)/python ] || [ -n "$(PYTHON)" ] || { echo "Python with venv is missing: install one of python3.11, \
	python3.12 and python3.13 (on Debian python3.11-venv as well), or name one with make PYTHON=..." | tr -d '\t'; exit 1; }
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements.txt uv "$$(grep '^torch==' requirements.txt)"
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

# One file for every Python: what only some need has a marker. Versions that are locked stay, because uv reads the
# file that it writes; `uv pip compile --upgrade-package NAME` moves one.
COMPILE = $(UV) pip compile --quiet --no-header --no-annotate

lock: $(INSTALLED)
	cp requirements.txt $@.partial
	$(COMPILE) pyproject.toml --all-extras --universal --python-version $(firstword $(VERSIONS)) --output-file $@.partial
	echo "# The one lock: everything that was tested together. Made by \`make lock\` from pyproject.toml." > requirements.txt
	cat $@.partial >> requirements.txt
	rm $@.partial

# What the lock has for a Python is what that Python needs. Asks the package index, and no such interpreter.
lock-check: $(INSTALLED)
	@for version in $(VERSIONS); do \
	    $(COMPILE) requirements.txt --no-deps --python-version $$version --output-file $@.locked.partial && \
	    $(COMPILE) pyproject.toml --all-extras --constraint requirements.txt --python-version $$version --output-file $@.needed.partial && \
	    diff $@.locked.partial $@.needed.partial && echo "the lock holds for Python $$version" || exit 1; \
	done
	@rm $@.locked.partial $@.needed.partial

secrets:
	sh docker/make-secrets.sh secrets

clean: stop
	rm -rf $(VENV) .seuron .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
