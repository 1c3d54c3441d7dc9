# make test | test-all | demo | lint | clean. Each makes .venv when it is missing and installs what is needed;
# run again, none reinstalls until pyproject.toml changes.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# Further arguments: make test ARGS="-k search", make demo ARGS=--help
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install test test-all test-compiler test-avx2 test-gpu lint demo clean
# A rule that failed half way leaves no stamp behind.
.DELETE_ON_ERROR:

help:
	@echo "make test      check the code and run the tests (at most 20 CPU-minutes)"
	@echo "make test-all  and then what goes beyond: the numerical tests with the instructions of an"
	@echo "               older processor, and all that runs on a GPU on a pretended one, or on the"
	@echo "               one that is here (at most 60 CPU-minutes more)"
	@echo "make demo      train on data that it makes itself (about 7 CPU-minutes)"
	@echo "make lint      ruff and mypy alone"
	@echo "make clean     remove caches and build files; .venv and runs/ stay"
	@echo "PYTHON=...     the Python that makes .venv, 3.11 or newer (now: $(PYTHON))"

install: $(STAMP)

# One thread for each of the test processes, of which there are as many as cores, up to 8.
PYTEST := OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal

test: lint
	$(PYTEST) -m "not compiler" $(ARGS)

test-all: test test-compiler test-avx2 test-gpu

# Of what torch.compile and torch.export make of a network.
test-compiler: $(STAMP)
	$(PYTEST) -m compiler tests/common $(ARGS)

# What compares numbers, with the instructions that every x86 processor of the last decade has.
test-avx2: $(STAMP)
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(PYTEST) -m "numerical and not compiler" $(ARGS)

# In processes of their own: a registered device changes the process. The second run is of the core's
# and the decoder's own tests, with the GPU as default device.
test-gpu: $(STAMP)
	OMP_NUM_THREADS=1 $(RUN) -m pytest tests/gpu $(ARGS)
	OMP_NUM_THREADS=1 $(RUN) -m pytest -p tests.gpu.default_device \
	  tests/common/recurrent tests/common/decoding -m "not compiler" $(ARGS)

lint: $(STAMP)
	$(RUN) -m ruff check .
	$(RUN) -m mypy

demo: $(STAMP)
	$(RUN) -m experiments.demo $(ARGS)

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -path ./$(VENV) -prune -o -path ./runs -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

$(STAMP): pyproject.toml
	@fail() { echo "error: $$*" >&2; exit 1; }; \
	recent='import sys; sys.exit(sys.version_info < (3, 11))'; \
	if ! $(RUN) -m pip --version >/dev/null 2>&1; then \
	  command -v $(PYTHON) >/dev/null || fail "$(PYTHON) not found." \
	    "Install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3"; \
	  $(PYTHON) -c "$$recent" || fail "$(PYTHON) is $$($(PYTHON) --version 2>&1)," \
	    "but 3.11 or newer is needed. Name a newer one: make PYTHON=/path/to/python3"; \
	  $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || fail "$(PYTHON) cannot make virtual" \
	    "environments. Install its venv module (Debian, Ubuntu: python3-venv) and try again."; \
	  $(PYTHON) -m venv $(VENV); \
	fi; \
	$(RUN) -c "$$recent" || fail "$(VENV) was made by $$($(RUN) --version 2>&1)," \
	  "but 3.11 or newer is needed. Remove the folder $(VENV) and try again."
	@echo "Installing into $(VENV): once, and most of it is torch ..."
	$(RUN) -m pip install --editable '.[dev]' --config-settings editable_mode=compat
	@error=$$($(RUN) -c 'import torchvision' 2>&1) || { \
	  echo "error: torch and torchvision do not fit each other" \
	    "($$(echo "$$error" | tail -n 1)). Install a pair that does, from one index:" \
	    "$(RUN) -m pip install --force-reinstall torch torchvision" >&2; exit 1; }
	@touch $@
