# The developer's commands. uv is used where it is installed, plain venv and pip elsewhere; both read the same lock files.
# The newest Python that is supported and really runs (a name on the path may be an empty shim).
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
UV := $(shell command -v uv)

.PHONY: help demo test soak try-install check format lock bench faults fuzz mutate scores clean

help: ## what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

demo: .setup-run ## everything on this machine: broker, gateway, a simulated commune, the board
	@$(BIN)/village demo

test: .setup-dev ## the whole test suite; names what it skipped for want of a server
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

faults: .setup-dev ## the long fault suite: kill -9, outages, damage, full disk, wrong clocks; about an hour
	@$(BIN)/python -m pytest -m faults tests/faults tests/test_truth.py

SECONDS ?= 600
fuzz: .setup-fuzz ## each codec under a coverage-guided fuzzer, or one: make fuzz CODEC=senml SECONDS=600 (CPU seconds each)
	@.venv-fuzz/bin/python -m tests.fuzz $(CODEC) --seconds $(SECONDS)

SEED ?= 1
SEEDS ?= 1
DAYS ?= 30
scores: .setup-dev ## precision and recall of the alerts over simulated months with planted faults, a minute of CPU a seed; SEED=401 SEEDS=10 DAYS=30 WHY=1
	@$(BIN)/python -m tests.alert_scores --seed $(SEED) --seeds $(SEEDS) --days $(DAYS) $(if $(WHY),--why)

bench: .setup-dev ## measure every figure of docs/performance.md, 45 minutes; ONLY="e2e_ratio p50_ms", QUICK=1, RESUME=1
	@$(BIN)/python -m tests.bench $(ONLY) $(if $(QUICK),--quick) $(if $(RESUME),--resume)

check: .setup-dev ## format, lint, types, import contracts, generated files, duplicates of documents
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_documents.py

format: .setup-dev ## format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## read pyproject.toml anew into the lock files (needs uv)
	uv pip compile -q pyproject.toml --universal --generate-hashes --no-emit-index-url --no-header -o requirements.lock
	uv pip compile -q pyproject.toml --group dev --universal --generate-hashes --no-emit-index-url --no-header \
		-c requirements.lock -o requirements-dev.lock

clean: ## forget the environment and everything built
	rm -rf .venv .venv-fuzz .setup-* build dist

.setup-run: requirements.lock pyproject.toml
	$(call install,requirements.lock)
	@touch $@

.setup-dev: requirements-dev.lock pyproject.toml
	$(call install,requirements-dev.lock)
	@touch .setup-run $@

.setup-fuzz: BIN := .venv-fuzz/bin
.setup-fuzz: requirements-dev.lock tests/fuzz/requirements.txt pyproject.toml
	$(call install,requirements-dev.lock)
	$(if $(UV),uv pip install -q --python $(BIN)/python,$(BIN)/python -m pip install -q) -r tests/fuzz/requirements.txt
	@touch $@

ifneq ($(UV),)
define install
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.13 is needed; set PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || uv venv -q --python "$(PYTHON)" $(BIN:/bin=)
	@uv pip install -q --python $(BIN)/python -r $(1)
	@uv pip install -q --python $(BIN)/python --no-deps -e .
endef
else
define install
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.13 is needed; set PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(BIN:/bin=)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r $(1)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
endef
endif
