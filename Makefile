# Two commands: `make demo` and `make test`. Each makes its own environment on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Much of the suite waits: for brokers, for what is killed, for leases that run out. WORKERS=0 runs it in one process.
WORKERS ?= 4
# A worker that dies ends the session: those in its place would be given nothing, and it would never end.
PARALLEL := --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0
# Where bytecode is not written, every worker would rewrite the assertions of all tests anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check bench clean
.DEFAULT_GOAL := demo

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "noetl_stream needs Python 3.11 or newer; set PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP)  ## a year of flights through the whole path
	@$(BIN)/noetl-stream run playbooks/demo/flights.yaml --catalog playbooks/demo

test: $(STAMP)  ## everything, real Apache Kafka included where it can be had
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports
	@$(BIN)/pytest $(PARALLEL) -m 'not alone' --reruns 1 --only-rerun 'Timeout .*pytest-timeout'
	@$(BIN)/pytest -m alone -q

check: $(STAMP)  ## the quick door, under a minute and a half
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/lint-imports
	@$(BIN)/pytest -m 'not slow' -q

bench: $(STAMP)  ## one step, a chain, a fan-out; each beside the floor of the same run
	@$(BIN)/python -m bench

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist out
