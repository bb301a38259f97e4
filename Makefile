# Two commands: `make demo` and `make test`. Each sets up what it needs in .venv first.
# An interpreter of your own: make PYTHON=python3.12 demo
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check slow newest docs format clean

demo: .venv
	$(BIN)/python -m experiments quickstart --out runs/quickstart

test: check
	$(BIN)/python -m pytest -n 2 --dist worksteal

# What a reader of the code relies on: style, types, and imports that only go downwards.
check: .venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python

slow: .venv
	$(BIN)/python -m pytest -m slow

# The everyday tests with the newest versions of everything, in an environment of their own: a warning
# of deprecation is an error there, too. NEWEST names the interpreter: Python 3.13, or 3.12 without it.
NEWEST ?= $(shell for one in python3.13 python3.12; do $$one -c '' 2>/dev/null && echo $$one && break; done)
newest: .venv-newest
	.venv-newest/bin/python -m pip list --disable-pip-version-check | grep -iE '^(jax|jaxlib|flax|optax|orbax-checkpoint|numpy) '
	.venv-newest/bin/python -m pytest -n 2 --dist worksteal

.venv-newest: pyproject.toml
	@test -n "$(NEWEST)" || { echo "the newest jax needs Python 3.12 or 3.13, which is not here; use: make NEWEST=python3.13 newest"; exit 2; }
	rm -rf .venv-newest
	$(NEWEST) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --editable '.[dev]' || { rm -rf .venv-newest; exit 1; }
	touch .venv-newest

# The documentation as a site in runs/site; a warning is an error. Its tools have an environment of their own.
docs: .venv .venv-docs
	$(BIN)/python -m theory explore --out docs/explore.html
	.venv-docs/bin/mkdocs build --strict --quiet
	@echo "built runs/site: open runs/site/index.html"

.venv-docs: constraints-docs.txt
	rm -rf .venv-docs
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --requirement constraints-docs.txt || { rm -rf .venv-docs; exit 1; }
	touch .venv-docs

format: .venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The directory is renamed into place only when complete, so that a broken set-up is not kept.
.venv: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ssljax needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) --version); use: make PYTHON=python3.11 ..."; exit 2; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]' || { rm -rf .venv; exit 1; }
	touch .venv

clean:
	rm -rf .venv .venv-docs .venv-newest runs .pytest_cache .ruff_cache
