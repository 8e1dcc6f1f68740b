# make run     the demonstration: environment, Airflow, a volume through the whole pipeline
# make stop    end what was started
# make test    the tests
# make test-long   those that take minutes each, beside them
# make chaos   a cluster on which everything is killed; about twenty minutes, result in docs/reliability.md
# make lint    ruff and mypy
# make kernel-coverage    which lines of the kernels the tests run, without compiling them
# make lock    requirements.txt anew from pyproject.toml
# make secrets the secrets of docker-compose.yml, in secrets/; those that are there stay
# make clean   stop, and remove the environment and the state folder (its runs as well)

PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
INSTALLED := $(VENV)/.installed

.PHONY: run stop test test-long chaos lint kernel-coverage lock secrets clean install

run: $(INSTALLED)
	$(BIN)/seuron demo

stop:
	@if [ -x $(BIN)/seuron ]; then $(BIN)/seuron down; fi

test: $(INSTALLED)
	$(BIN)/python -m pytest

test-long: $(INSTALLED)
	$(BIN)/python -m pytest -m long

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
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is needed; name another with make PYTHON=..."; exit 1; }
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements.txt uv "$$(grep '^torch==' requirements.txt)"
	$(UV) pip install --quiet --python $(BIN)/python -r requirements.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

lock: $(INSTALLED)
	@echo "# The one lock: everything that was tested together. Made by \`make lock\` from pyproject.toml." > $@.partial
	$(UV) pip compile --quiet pyproject.toml --all-extras --python-version 3.11 --no-header --no-annotate >> $@.partial
	mv $@.partial requirements.txt

secrets:
	sh docker/make-secrets.sh secrets

clean: stop
	rm -rf $(VENV) .seuron .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
