# Every target except help and clean first makes .venv if it does not exist.

PYTHON := .venv/bin/python
ON_RANKS := launch/try_ranks.sh
NUMBERS_OF_RANKS := 1 2 3 4
TIMES := 50
NETWORKS := 500
RESCALED := 100
SEED := 1
SCRIPTS := .ci/run $(wildcard launch/*.sh examples/*.sh examples/*/*.sh slurm/*.sh slurm/*.sbatch pbs/* lsf/* containers/*.sh tests/*.sh)

.DEFAULT_GOAL := help
.PHONY: help setup demo zoo test test-fake test-slurm test-mpich test-clock test-container faults random-networks bench bench-adaptive bench-gpu bench-headline bench-hessian bench-samples bench-start bench-writes scaling tables docs lint clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-zA-Z%-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

setup:  ## make .venv: packages, MPI, parallel HDF5 (minutes once, then instant)
	@launch/set_up.sh

demo: setup  ## train a small network, compute its surface on 2 ranks, draw it
	@PATH="$(CURDIR)/.venv/bin:$$PATH" ON_RANKS=$(ON_RANKS) examples/digits_surface.sh build/demo
	@PATH="$(CURDIR)/.venv/bin:$$PATH" examples/digits_pictures.sh build/demo
	@echo "Next: . .venv/bin/activate, and docs/tutorials/digits.md, which explains each step"

zoo: setup  ## train networks of the zoo for 40 minutes: a table of their errors in build/zoo
	@PATH="$(CURDIR)/.venv/bin:$$PATH" examples/zoo.sh build/zoo

test: setup  ## run the serial tests, those on fake GPUs, and those for 1, 2, 3 and 4 ranks
	@launch/run_tests.sh serial fake $(NUMBERS_OF_RANKS)

test-fake: setup  ## run the tests on fake GPUs
	@launch/run_tests.sh fake

test-clock: setup  ## run the tests that assert times by the clock; the machine has to be quiet
	LANDSCAPE_CLOCK=1 $(ON_RANKS) 4 $(PYTHON) -m pytest --color=no -m "parallel and clock"

test-%: setup  ## run the tests for several ranks on this many, e.g. make test-3
	@launch/run_tests.sh $*

test-slurm: setup  ## run the templates of slurm/ in a SLURM on this machine, which root installs
	@tests/slurm_lab.sh install
	LANDSCAPE_EXPECT_SLURM=1 $(PYTHON) -m pytest --color=no tests/infrastructure/test_slurm.py tests/infrastructure/test_templates.py

test-mpich: setup  ## run tests with MPICH from PyPI, in build/mpich
	@tests/mpich_environment.sh build/mpich
	LANDSCAPE_MPICH=build/mpich $(PYTHON) -m pytest --color=no tests/infrastructure/test_mpich.py

test-container: setup  ## build the container image with Buildah, as root, and run the main job in it on 2 ranks
	@tests/container.sh install
	@tests/container.sh build/container

faults: setup  ## try 50 faults on small runs and count the outcomes, e.g. make faults TIMES=7 SEED=2
	$(PYTHON) tests/faults/count.py --times $(TIMES) --seed $(SEED)

random-networks: setup  ## compare 500 random networks with a plain loop, e.g. make random-networks NETWORKS=50 SEED=2
	PYTHONPATH=tests $(PYTHON) -m campaigns.count --networks $(NETWORKS) --rescaled $(RESCALED) --seed $(SEED)

bench: setup  ## measure evaluation against the field's usual code: examples/benchmarks.md
	$(PYTHON) tests/benchmarks/evaluation.py

bench-gpu: setup  ## check and measure the program on a GPU in ten minutes (docs/gpu.md)
	$(PYTHON) tests/benchmarks/gpu.py

bench-adaptive: setup  ## measure points and errors of --adaptive on known surfaces: docs/adaptive.md
	$(PYTHON) tests/benchmarks/adaptive.py

bench-samples: setup  ## measure how often intervals of --rtol hold (WEIGHTS=... IMAGES=...): docs/sampling.md
	$(PYTHON) tests/benchmarks/batches.py
	$(PYTHON) tests/benchmarks/samples.py

bench-start: setup  ## count and time the start of ranks, with and without a packed environment: docs/how-to/many-ranks.md
	$(PYTHON) tests/benchmarks/start.py

bench-headline: setup  ## measure work and errors of --adaptive with --rtol (WEIGHTS=... IMAGES=...): build/headline
	$(PYTHON) tests/benchmarks/headline.py $(HEADLINE)

bench-hessian: setup  ## measure eigenvalues of ResNet-20: products, values and the time of a product
	$(PYTHON) tests/benchmarks/hessian.py

bench-writes: setup  ## how long rounds take to write: docs/explanation/writes.md, e.g. BEFORE=another/checkout
	$(PYTHON) tests/benchmarks/writes.py $(if $(BEFORE),--before $(BEFORE))

scaling: setup  ## simulate runs on up to 4,096 ranks: examples/scaling.md
	$(PYTHON) examples/scaling.py

tables: setup  ## write the tables of networks, data sets and so on, and the commands' pages, into docs/
	$(PYTHON) docs/tables.py

docs: setup  ## build the documentation: build/site/index.html
	@launch/build_docs.sh

lint: setup  ## check style, types and shell scripts
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	@command -v shellcheck > /dev/null || { echo "lint: shellcheck is not installed: apt-get install shellcheck"; exit 1; }
	shellcheck $(SCRIPTS)

clean:  ## remove all build results; .venv stays
	rm -rf build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
