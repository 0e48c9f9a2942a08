# make demo: a fresh machine to an HTML report.   make test: installs and passes the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
LAVA_STAMP := $(VENV)/.lava
DOCS_STAMP := $(VENV)/.docs
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: help install lava demo test test-chains test-extras test-all test-lowest lint format docs bench-peers clean

help:
	@echo "make install   virtual environment in .venv with everything, Lava included"
	@echo "make demo      train on the built-in digits, compile, run, check against Lava, report"
	@echo "make test      fast tests;  make test-chains: whole chains in processes of their own;  make test-extras: beside other frameworks;  make test-all: all;  make lint: ruff and pyright"
	@echo "make test-lowest   fast tests with the lowest versions of the libraries that are allowed"
	@echo "make docs      the documentation as a site, in site/"
	@echo "make bench-peers   other simulators for benchmarks/runtime_speed.py, each in a folder of .peers"

$(STAMP): pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Spikeloom needs Python 3.11 or newer; %s is %s. Try: make PYTHON=python3.12" % (sys.executable, sys.version.split()[0]))'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) lacks the venv module (Debian: apt-get install python3-venv)."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing (torch is large; a few minutes on a first run) ..."
	$(PIP) install 'torch==2.13.0' 'spikingjelly==2.0.0' -e '.[train,dev]'
	@mkdir -p $(VENV)/typing && ln -sfn "$(CURDIR)" $(VENV)/typing/spikeloom
	@touch $@

# Lava declares Python < 3.11; the worker mends what breaks (docs/lava.md). Without it all else works.
$(LAVA_STAMP): $(STAMP)
	@{ $(PIP) install 'asteval>=1' 'scikit-learn>=1.5' && $(PIP) install --ignore-requires-python --no-deps lava-nc==0.10.0; } \
		&& touch $@ || echo "Lava could not be installed: the lava backend will say so, everything else works. Again: make lava"

lava: $(LAVA_STAMP)

install: $(STAMP) lava

demo: install
	@sh examples/demo.sh $(BIN)/python

# worksteal: test files differ in length, and a worker that is done takes what another has not begun.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

test: install
	$(PYTEST)

test-chains: install
	$(PYTEST) -m 'chain and not slow'

# Other frameworks and libraries, each in a folder of .peers: what reads their files and holds our numbers against theirs may not be skipped here.
EXTRAS := snntorch norse sinabs neurobench distributed pandas pyarrow xylosim

test-extras: install $(EXTRAS:%=.peers/%)
	SPIKELOOM_EXTRAS="$$(ls .peers)" PYTHONPATH=$(subst $(eval ) ,:,$(EXTRAS:%=.peers/%)) $(BIN)/python -m pytest -m '' \
		tests/formats/test_nir_frameworks.py tests/formats/test_nir.py tests/formats/test_torch_frameworks.py tests/runtime/test_neurobench.py \
		tests/runtime/test_frames.py tests/report/test_compare.py tests/sweep/test_cluster.py tests/runtime/test_xylo.py \
		-k 'sinabs or norse or snntorch or neurobench or cluster or frame or parquet or xylosim'

test-all: install
	SPIKELOOM_ALL_EXAMPLES=1 $(PYTEST) -m ''

# The lowest versions of what Spikeloom is built on, in an environment of its own, without torch; Python 3.11 has all of them.
LOWEST_TESTS := tests/hwmodels tests/network tests/compile/test_pipeline.py tests/compile/test_deployed.py tests/compile/test_older_files.py \
	tests/report/test_report.py tests/report/test_compare.py tests/data/test_events.py tests/runtime/test_runtime.py

test-lowest:
	$(PYTHON) -m venv build/lowest
	build/lowest/bin/python -m pip --disable-pip-version-check -q install -c requirements/lowest.txt . 'pytest>=8' 'hypothesis>=6.100' 'pytest-xdist>=3.6'
	build/lowest/bin/python -m pytest -n 2 --dist worksteal $(LOWEST_TESTS) --ignore tests/network/test_synapses.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(DOCS_STAMP): $(STAMP)
	$(PIP) install -e '.[docs]'
	@touch $@

# --strict: a broken link fails; not --quiet, which would hide the warnings that --strict counts.
docs: $(DOCS_STAMP)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "Open site/index.html. Search needs a server: $(BIN)/python -m http.server --directory site"

# What runtime_speed.py measures against, and the fuzzer guided by coverage. Each in a folder of its own, which nothing else imports: the environment stays as it is.
# Without dependencies where the environment has what they need. Again for one: rm -r .peers/NAME; make bench-peers
PEERS := snntorch norse brian2 nengo-loihi sanafe nest atheris
peer-snntorch := --no-deps snntorch==1.0.0
peer-norse := --no-deps norse==1.1.0 nir nirtorch
peer-sinabs := --no-deps sinabs==3.1.3 pbr
peer-neurobench := --no-deps neurobench==2.3.0
peer-distributed := distributed==2026.8.0
peer-pandas := --no-deps pandas==3.1.1 python-dateutil six tzdata
peer-pyarrow := --no-deps pyarrow==26.0.1
peer-xylosim := xylosim==0.1.3
peer-brian2 := brian2 'numpy<2.3'
peer-nengo-loihi := nengo-loihi==1.1.0 'nengo<4' 'numpy==1.23.5' 'scipy<1.12'
peer-sanafe := --no-deps sanafe==2.2.9
peer-nest := --no-deps nest-simulator==3.10.0
peer-atheris := --no-deps atheris==3.0.0

bench-peers: $(STAMP) $(PEERS:%=.peers/%)

.peers/%:
	@mkdir -p .peers
	@rm -rf .peers/.new-$* && $(PIP) install --no-warn-conflicts --target .peers/.new-$* $(peer-$*) && mv .peers/.new-$* $@ \
		|| { rm -rf .peers/.new-$*; echo "$* could not be installed: the table goes without it."; }

clean:
	rm -rf $(VENV) .peers build site *.egg-info .pytest_cache .ruff_cache .hypothesis
