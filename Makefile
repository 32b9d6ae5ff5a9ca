# `make run` and `make test` are all that a new machine needs; the rest is for those who stay.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

FOREIGN := tests/foreign/environments
CLIENTS := tests/clients/environment
INSPECTOR := tests/clients/inspector
EXAMPLES := react assistant-ui
# What the example configuration uses, and what is small: `make run` installs them, and the image.
EXTRAS := --extra a2a --extra embed --extra images --extra s3 --extra search
OURS := bench core docs graph nodes server tests tools waystation

# Images and CI set it, and then every one of hundreds of processes compiles all our files again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run demo check test studio docs campaign bench lock clean

run: .venv/.runtime
	@$(BIN)/waystation serve

demo: .venv/.runtime
	@$(BIN)/python -m server.demo

# Types and contracts, whose output comes when the tests beside them have ended: $(call beside,TESTS).
define beside
@{ $(BIN)/mypy; types=$$?; $(BIN)/lint-imports --no-cache && exit $$types; } > .types.log 2>&1 & types=$$!; \
    $(1); tests=$$?; \
    wait $$types; types=$$?; cat .types.log; rm -f .types.log; test $$tests = 0 && test $$types = 0
endef

# The quick part of `make test`, in under a minute: the unit tests on SQLite that take no second.
check: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(call beside,$(BIN)/python -m pytest -n 2 -m "not server and not slow and not dear" tests/unit tests/architecture)

# Both are installed at the same time: pip uses one core.
test:
	@$(MAKE) --no-print-directory -j 2 .venv/.dev .venv/.foreign
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -f .coverage .coverage.*
	@$(BIN)/python -m compileall -q -j 0 -x '/test_\w+\.py$$' $(OURS)
	@$(BIN)/python -m tests.kit.probes
	$(call beside,$(BIN)/python -m tests.kit.second_chance -ptests.kit.probes)
	@$(BIN)/python -m tests.kit.coverage_floor

studio: .venv/.dev
	LANGGRAPH_CLI_NO_ANALYTICS=1 LANGGRAPH_NO_VERSION_CHECK=1 LANGSMITH_TRACING=false \
	    $(BIN)/langgraph dev --no-browser --allow-blocking --no-reload

docs: .venv/.dev
	$(BIN)/python -m docs.generate

campaign: .venv/.dev
	WHOLE_SAMPLES=1 $(BIN)/python -m pytest -n 2
	$(BIN)/python -m tests.campaigns.kills --database sqlite
	$(BIN)/python -m tests.campaigns.kills --database postgres
	$(BIN)/python -m tests.campaigns.outages --database sqlite
	$(BIN)/python -m tests.campaigns.outages --database postgres
	$(BIN)/python -m tests.campaigns.outages --database pair --outages 20
	$(BIN)/python -m tests.campaigns.sends --database sqlite
	$(BIN)/python -m tests.campaigns.sends --database postgres
	$(BIN)/python -m tests.campaigns.streams --database sqlite
	$(BIN)/python -m tests.campaigns.streams --database postgres
	$(BIN)/python -m tests.campaigns.machine --database sqlite
	$(BIN)/python -m tests.campaigns.machine --database postgres
	$(BIN)/python -m tests.campaigns.uploads --store local
	$(BIN)/python -m tests.campaigns.uploads --store s3
	$(BIN)/python -m tests.campaigns.uploads --what ingests
	$(BIN)/python -m tests.campaigns.changes
	$(BIN)/python -m tests.campaigns.publishing
	$(BIN)/python -m tests.campaigns.image
	$(BIN)/python -m tests.campaigns.wheel
	$(BIN)/python -m tests.campaigns.fleet
	$(BIN)/python -m tests.campaigns.fleet --pooled
	$(BIN)/python -m tests.campaigns.hosts --if-possible
	$(BIN)/python -m tests.campaigns.hosts --if-possible --pooled
	$(BIN)/python -m tests.campaigns.open_webui
	$(BIN)/python -m tests.retrieval --floors

bench: .venv/.dev
	$(BIN)/python -m bench.peers --only c8,real32,tools --slices 3 --turns 0.5
	$(BIN)/python -m bench.counts --turns 40
	$(BIN)/python -m bench.profiled --turns 100
	$(BIN)/python -m bench.turn
	$(BIN)/python -m bench.platform
	$(BIN)/python -m bench.threads
	$(BIN)/python -m bench.signals
	$(BIN)/python -m bench.files

# The locks carry hashes and no address: pip takes them from wherever it is set up to look. They are whole, so
# pip installs them as they stand (--no-deps): left to resolve `coverage[toml]`, it reaches past its pin.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header -q \
	    pyproject.toml $(EXTRAS) --group build --group dev -o requirements-dev.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header -q \
	    pyproject.toml $(EXTRAS) --group build -c requirements-dev.lock -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header -q \
	    pyproject.toml $(EXTRAS) --extra otel --extra postgres --group build \
	    -c requirements-dev.lock -o deploy/image/requirements.lock

	uv pip compile --python-version 3.11 --universal --generate-hashes --no-header -q \
	    $(FOREIGN)/time.in -o $(FOREIGN)/time.txt
	uv pip compile --python-version 3.11 --universal --generate-hashes --no-header -q \
	    $(FOREIGN)/git.in -o $(FOREIGN)/git.txt
	uv pip compile --python-version 3.11 --universal --generate-hashes --no-header -q \
	    $(FOREIGN)/fastmcp.in -o $(FOREIGN)/fastmcp.txt
	uv pip compile --python-version 3.11 --universal --generate-hashes --no-header -q \
	    $(FOREIGN)/mcp2.in -o $(FOREIGN)/mcp2.txt

clean:
	rm -rf .venv .waystation .mypy_cache .ruff_cache .pytest_cache .coverage*

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "Waystation needs Python 3.11 or later; set PYTHON=python3.x" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.runtime: requirements.lock pyproject.toml | .venv/bin/python
	@echo "Installing Waystation into .venv (once; about a minute) ..."
	@$(PIP) install --require-hashes --no-deps -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.runtime
	@echo "Installing what the tests need ..."
	@$(PIP) install --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

# Tool servers and clients of other people, each in an environment of its own; the tests say what is missing where.
.venv/.foreign: $(wildcard $(FOREIGN)/*.txt $(FOREIGN)/*.json $(CLIENTS)/*.json $(INSPECTOR)/*.json $(EXAMPLES:%=examples/%/*.json)) | .venv/bin/python
	@echo "Installing the tool servers and clients that the tests run against ..."
	@for name in time git fastmcp mcp2; do \
	    $(BIN)/python -m venv --clear --without-pip .venv/foreign/$$name && \
	    $(PIP) --python .venv/foreign/$$name install --require-hashes --no-deps -r $(FOREIGN)/$$name.txt || exit 1; \
	done
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
	    for place in $(FOREIGN):node $(CLIENTS):clients $(INSPECTOR):inspector $(foreach name,$(EXAMPLES),examples/$(name):$(name)); do \
	        from=$${place%:*} name=$${place##*:} && mkdir -p .venv/foreign/$$name && \
	        cp $$from/package.json $$from/npm-shrinkwrap.json .venv/foreign/$$name && \
	        (cd .venv/foreign/$$name && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) || exit 1; \
	    done; \
	else echo "Node.js is missing: the tests of servers that need it are skipped"; fi
	@touch $@

# CopilotKit's runtime is nearly 300 MB: for who wants its test.
.venv/.copilot: $(wildcard tests/clients/copilot/*.json) | .venv/.dev
	mkdir -p .venv/foreign/copilot && cp $(wildcard tests/clients/copilot/*.json) .venv/foreign/copilot
	cd .venv/foreign/copilot && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
