# The one list of commands. Any Node >= 20 with npm fetches the pinned Node 24 (runtime/) and, with it, the rest.
.DEFAULT_GOAL := help
SHELL := /bin/sh
ARCH := $(shell uname -m | sed 's/x86_64/x64/;s/aarch64/arm64/')
RUNTIME := $(CURDIR)/runtime/node_modules/node-linux-$(ARCH)/bin
COMPOSE := docker compose --file deploy/compose.yml
export PATH := $(RUNTIME):$(CURDIR)/node_modules/.bin:$(PATH)
export UV_THREADPOOL_SIZE ?= 16
export NODE_COMPILE_CACHE ?= $(CURDIR)/node_modules/.cache/node
# The system store of certificates, for machines behind a proxy with its own authority.
NPM := NODE_USE_SYSTEM_CA=1 npm --no-audit --no-fund --loglevel=error

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

run: install ## start every stage in one process on embedded engines
	@exec node cmd/ingest.ts

test: install ## everything: format, lint, types, unit tests, tests on real engines (which it installs as root), whole-system tests
	@$(MAKE) --no-print-directory static
	@vitest run --reporter=default --reporter=./test/summary.ts

engines: install ## Kafka, Ceph RGW and PostgreSQL, up until Ctrl-C; prints the settings that choose them
	@exec node test/engines/engines.ts

test-engines: install ## only the tests on real engines
	@vitest run --project engines --reporter=default --reporter=./test/summary.ts

check: install static ## what to run before a commit: format, lint, types, tidy, the quick unit tests (under a minute)
	@vitest run --project unit --reporter=default --reporter=./test/summary.ts

static: install
	@oxfmt --check
	@oxlint --type-aware --deny-warnings --quiet
	@tsc

fix: install ## format and mend what can be mended
	@oxfmt && oxlint --type-aware --fix

fuzz: install ## ten million random inputs for the SMTP reader, from FUZZ_SEED (five minutes)
	@FUZZ_INPUTS=$${FUZZ_INPUTS:-10000000} vitest run --project system internal/smtp/reader -t fuzz

docs: install ## generate docs/, schemas/ and deploy/env.example from the code
	@node cmd/gendoc.ts

bench: install ## measure against a peer, and write bench/results.md
	@node bench/run.ts

bench-faults: install ## five minutes of mail while the real engines fail in turn, and write bench/faults.md
	@node bench/faults.ts

bench-stages: install ## what a mail costs in each stage when it catches up, on the real engines; writes bench/stages.md
	@node bench/stages.ts

bench-flood: install ## thousands of idle and slow sessions, a hundred thousand NOOPs, and one mail after the other; writes bench/flood.md
	@node bench/flood.ts

alerts-real: install ## twelve minutes: everything that has an alert goes wrong, watched by Prometheus; writes docs/alerts-run.md
	@node bench/alerts.ts

up: deploy/.env ## with Docker: everything on real engines in containers, watched by Prometheus and Grafana
	@$(COMPOSE) up --build --detach --wait
	@printf '%s\n' '' '  Send mail to   smtp://127.0.0.1:2525        orders+acme@mail.localhost' \
	  '  Look at it     make ctl RUN="messages list"' '  Prometheus     http://127.0.0.1:9090' '  Alertmanager   http://127.0.0.1:9093' \
	  '  Grafana        http://127.0.0.1:3000        admin, GRAFANA_PASSWORD of deploy/.env' ''

ctl: ## with Docker: ingestctl in the running node, `make ctl RUN="messages list"`
	@$(COMPOSE) exec uploaderd bin/ingestctl $(RUN)

down: ## with Docker: stop it all; the volumes stay
	@$(COMPOSE) down

deploy/.env:
	@umask 077; for name in S3_ACCESS_KEY S3_SECRET_KEY POSTGRES_PASSWORD DATABASE_OWNER_PASSWORD DATABASE_APP_PASSWORD GRAFANA_PASSWORD; do \
	  echo "$$name=$$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')"; done > $@

install: node_modules/.installed

node_modules/.installed: runtime/node_modules/.installed package-lock.json
	@echo 'installing packages (package-lock.json)' >&2
	@# Not `npm ci`: it refuses a lockfile without the binaries of other systems, which the registry we lock from lacks.
	@$(NPM) install --no-save --ignore-scripts >&2
	@touch $@

runtime/node_modules/.installed: runtime/package-lock.json
	@command -v npm >/dev/null || { echo 'npm is not on the PATH: install Node 20 or newer with npm first' >&2; exit 2; }
	@echo 'installing Node 24 (runtime/package-lock.json)' >&2
	@cd runtime && $(NPM) ci --ignore-scripts >&2 && ln -sfn node_modules/node-linux-$(ARCH)/bin bin
	@touch $@

.PHONY: help up ctl down run test engines test-engines check static fix fuzz docs bench bench-faults bench-stages bench-flood alerts-real install
