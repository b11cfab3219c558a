# The developer's verbs. They need Python 3.11 or newer with venv; the rest is fetched at pinned versions into
# .tools and .venv. Every path is relative, because make cannot quote a checkout whose path holds a space, and
# tools run as `python -m`, because a console script cannot either.
.DEFAULT_GOAL := help
.SUFFIXES:
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV

PY := .venv/bin/python
ARGS :=

.PHONY: help
help: ## Show this list
	@echo 'make <verb>; pass options of the tool behind it as ARGS="..."'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r verb text; do printf '  %-14s %s\n' "$$verb" "$$text"; done

.PHONY: setup
setup: ## Install everything into .venv; a repeat does nothing
	@sh .ci/setup

.PHONY: demo
demo: setup ## Play a customer's day on a real PostgreSQL and look at what it left
	@$(PY) -m platform_cli demo $(ARGS)

.PHONY: test
test: setup ## Run the tests (the secret scan's own tests need Go: they belong to check)
	@$(PY) -m pytest --numprocesses=auto --dist=worksteal --ignore=tests/hygiene --ignore=tests/soak $(ARGS)

.PHONY: test-on-oldest
test-on-oldest: setup ## Run the tests on the oldest PostgreSQL supported, 15; installs it where apt-get can
	@sh .ci/install-postgresql 15
	@$(MAKE) --no-print-directory test ARGS="--postgres=/usr/lib/postgresql/15 $(ARGS)"

.PHONY: soak
soak: setup ## Prove the queue at length: kills, crashes, a million rows, minutes of load; ARGS="--short" in CI
	@$(PY) -m pytest --timeout=1800 tests/soak $(ARGS)

.PHONY: soak-short
soak-short: ## The same proofs in their short form, under three minutes
	@$(MAKE) --no-print-directory soak ARGS="--short $(ARGS)"

.PHONY: kills
kills: setup ## Kill a customer's day in fifty rounds, and the local runtime at every move of a flow
	@$(PY) -m pytest --numprocesses=auto --dist=worksteal --thorough tests/journeys/test_killed_anywhere.py tests/journeys/test_flow_killed_anywhere.py $(ARGS)

.PHONY: check
check: lint format-check types secrets architecture actionlint ## Judge the code: lint, format, types, secrets, architecture, workflows

.PHONY: lint
lint: setup ## Lint
	@$(PY) -m ruff check .

.PHONY: format-check
format-check: setup ## Fail on a file that fmt would change
	@$(PY) -m ruff format --check .

.PHONY: types
types: setup ## Check types strictly
	@$(PY) -m mypy

.PHONY: secrets
secrets: setup gitleaks ## Scan work tree and history for secrets, and prove that the scan bites
	@bash .ci/scan-secrets .
	@$(PY) -m pytest --quiet tests/hygiene $(ARGS)

.PHONY: architecture
architecture: setup ## Check the house rules and that the documents name what exists
	@$(PY) -m pytest --quiet tests/architecture tests/docs $(ARGS)

.PHONY: actionlint
actionlint: setup ## Lint the workflows, and the shell in them
	@sh .ci/install-go-tool actionlint
	@.tools/bin/actionlint -shellcheck .venv/bin/shellcheck $(ARGS)

VERSION_OF_FILES := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

.PHONY: compose-config
compose-config: ## Let Compose read the whole of compose.prod.yml, with made-up values; a warning is an error
	@bash .ci/compose-config

.PHONY: images
images: setup ## Build the images of this checkout; needs Docker with buildx
	@bash infra/scripts/build_images.sh $(VERSION_OF_FILES) $(ARGS)

.PHONY: scan-images
scan-images: ## Stop when an image of this checkout has a known hole that can be mended
	@sh .ci/install-go-tool grype
	@sed 's/$$/:$(VERSION_OF_FILES)/' infra/docker/images.txt | xargs bash .ci/scan-images

.PHONY: release
release: setup ## Commit and tag a release, VERSION=1.4.0: versions, changelog; pushes nothing
	@$(PY) -m platform_cli.releases prepare "$$VERSION"

.PHONY: release-check
release-check: setup ## Refuse a tag that is not consistent, TAG=v1.4.0: what the release workflow asks first
	@$(PY) -m platform_cli.releases check "$$TAG"

# The steps of the release and deploy workflows; infra/scripts/release_steps.sh says what each needs.
RELEASE_STEPS := release-login release-images release-scan release-files release-publish release-fetch release-deploy
.PHONY: $(RELEASE_STEPS)
$(RELEASE_STEPS): release-%:
	@bash infra/scripts/release_steps.sh $*

.PHONY: fmt
fmt: setup ## Format and repair what the linter can
	@$(PY) -m ruff check --fix-only .
	@$(PY) -m ruff format .

.PHONY: bench
bench: setup ## Measure the queue beside its peers, webhook intake, import and provisioning
	@sh .ci/setup bench
	@$(PY) -m tests.benchmarks $(ARGS)

.PHONY: rehearsal
rehearsal: setup ## Play a host from bare to serving and back, with what goes wrong; needs root and a Docker engine
	@$(PY) -m tests.rehearsal $(ARGS)

.PHONY: rehearsal-quick
rehearsal-quick: setup ## The same, one deploy, one upgrade and one rollback; says so where no engine can be had
	@$$([ "$$(id -u)" = 0 ] || echo sudo -n) $(PY) -m tests.rehearsal --quick

.PHONY: pictures
pictures: setup ## Take the pictures of the staff panel in docs/pictures anew; needs Chromium
	@$(PY) -m tests.pictures $(ARGS)

# The demo's PostgreSQL may live outside the checkout and may be running, so it is asked to go before its programs do.
FORGET := from pathlib import Path; from platform_cli.local import postgres; postgres.destroy(Path(".local/postgres"))

.PHONY: clean
clean: ## Forget the demo's data, the environment and the caches
	@if $(PY) -c '' 2>/dev/null; then $(PY) -c '$(FORGET)'; fi
	@rm -rf .local .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The scanner is built from source once; it is never skipped when it is missing.
.PHONY: gitleaks
gitleaks:
	@sh .ci/install-go-tool gitleaks
