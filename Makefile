# Every way to build, run and test varve from a checkout. Each target gets what it needs first.
# Steps are quiet: one line each, the whole output in build/log/.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory --no-builtin-rules
.DEFAULT_GOAL := help

MACHINE := $(subst aarch64,arm64,$(subst x86_64,x64,$(shell uname -m)))
NODE := node_modules/node-linux-$(MACHINE)/bin/node
STEP := scripts/step.sh

.PHONY: help build demo test test-long fuzz bench lint format docs clean debian npm proto bundle native

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s  %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: native bundle ## Get what is missing and build; then bin/varve runs from here

demo: build ## Run containers of a small image through varve, show their history, clean up
	@$(NODE) scripts/demo.ts

test: build ## Run every test in its short form (about 15 minutes)
	@$(NODE) scripts/test.ts

test-long: build ## Run every test in its long form
	@$(NODE) scripts/test.ts --long

fuzz: debian ## Fuzz the readers of layers for SECONDS each (60), or TARGETS of them; needs clang
	@scripts/fuzz.sh $(or $(SECONDS),60) $(TARGETS)

bench: build ## Measure against containerd's overlayfs snapshotter, and block layers; print tables
	@$(NODE) bench/run.ts

lint: npm proto ## Check types, rules, layout and formatting
	@$(STEP) types $(NODE) node_modules/typescript/bin/tsc --noEmit
	@$(STEP) rules $(NODE) node_modules/eslint/bin/eslint.js .
	@$(STEP) layout $(NODE) --test test/tidy.test.ts
	@$(STEP) formatting $(NODE) node_modules/prettier/bin/prettier.cjs --check --log-level warn .

format: npm ## Format every file
	@$(STEP) format $(NODE) node_modules/prettier/bin/prettier.cjs --write --log-level warn .

docs: bundle ## Generate the references in docs/ again
	@$(STEP) 'docs: events' $(NODE) scripts/generate-event-docs.ts
	@$(STEP) 'docs: machines' $(NODE) scripts/generate-machine-docs.ts
	@if [ -f scripts/generate-cli-docs.ts ]; then \
	  $(STEP) 'docs: commands' $(NODE) scripts/generate-cli-docs.ts; fi

clean: ## Delete what the build made (packages stay, and what tests keep in ~/.cache/varve)
	@rm -rf build dist

debian:
	@scripts/install-packages.sh debian

npm:
	@scripts/install-packages.sh npm

proto: npm
	@if [ -f scripts/generate-proto.ts ]; then $(STEP) 'protocol code' $(NODE) scripts/generate-proto.ts; fi

bundle: proto
	@$(STEP) 'bundle' $(NODE) scripts/build.ts

native: debian
	@if [ -f native/CMakeLists.txt ]; then scripts/build-native.sh; fi
