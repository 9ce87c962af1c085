# make demo: the main job, then shield-check on what it made.  make test: all checks and tests.
# Both set up .venv first; nothing but Python >= 3.11 and make is needed.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
RUN := runs/demo

.PHONY: install demo test test-fast lint checked wheel clean

install: $(READY)

# torch first and under the constraints, so that pip does not choose a build with CUDA for it
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; try make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt "setuptools>=77" torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,logs,cross]"
	touch $@

demo: install
	$(BIN)/python -m experiments.pipeline --env nprl/Pendulum-v0 --out $(RUN)
	$(BIN)/shield-check $(RUN)/certificate.json
	@# a program that needs its shield (1), or of which neither was shown (3), is an answer too
	$(BIN)/shield-check $(RUN)/certificate.json --policy $(RUN)/program.json || [ $$? -ne 2 ]
	@echo; echo "the report: $(RUN)/report.html"

test: install lint checked wheel
	$(BIN)/python -m pytest -n 2

test-fast: install
	$(BIN)/python -m pytest -n 2 -m "not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# types and layers are looked at in the built package: the folders stand where users get them
checked: install
	rm -rf build
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  --target build/checked .
	cp pyproject.toml .importlinter build/checked/
	cd build/checked && ../../$(BIN)/mypy -p nprl
	cd build/checked && PYTHONPATH=. ../../$(BIN)/lint-imports

wheel: install
	PYTHON=$(BIN)/python sh tests/wheel_smoke.sh

clean:
	rm -rf .venv build runs *.egg-info
