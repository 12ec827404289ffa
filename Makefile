# Two commands are the face of Hefu: `make demo` and `make test`. Each does all its set-up.

SECONDS ?= 30
RATE ?= 200
SEED ?= 7
COUNT ?= 10000
# Our own crate is not optimised in the quick profile; with millions of records that takes longer than tests wait.
OPTIMISED := --config profile.dev.package.hefu.opt-level=1
N ?= 100
LINES ?= 1000000

.PHONY: help demo test check breadth torture settle-bench fuzz image bench setup setup-demo setup-check setup-bench

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: setup-demo ## Build the quick profile and watch Hefu at work on simulated traffic
	@echo 'Building Hefu, the quick profile: some minutes the first time, seconds after.'
	cargo build
	@echo
	@cargo run --quiet -- demo --for $(SECONDS)s --rate $(RATE) --seed $(SEED)

test: setup ## Set up what the tests need and run them all
	@rm -f target/not-tested
	@echo 'Building Hefu and its tests: a quarter of an hour the first time. Then they run, and at the end stands what could not be tested here.'
	cargo nextest run --no-fail-fast
	cargo test --doc --quiet
	@if [ -s target/not-tested ]; then printf '\nNOT TESTED on this machine:\n'; sort -u target/not-tested | sed 's/^/  /'; fi

check: setup-check ## Format, lints, documents, dependencies
	cargo fmt --check
	cargo clippy --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --document-private-items --quiet
	cargo deny check --hide-inclusion-graph bans licenses sources

breadth: setup ## COUNT generated and COUNT mutated messages of every type (10000; some minutes)
	HEFU_BREADTH=$(COUNT) cargo test --test breadth -- --nocapture --test-threads 1

torture: setup ## Kill Hefu N times (100) under load, over either store: nothing left twice or unknown; a restart with 1,000,000 records
	HEFU_TORTURE=$(N) HEFU_RECORDS=1000000 cargo test $(OPTIMISED) --test gateway -- --nocapture lasting::what_may_have_left killed:: restart::
	HEFU_STATEMENT_LINES=1000000 cargo test $(OPTIMISED) --test service -- --nocapture a_long_statement
	cargo test $(OPTIMISED) --test service -- --ignored --nocapture worlds::

settle-bench: setup ## A statement file of LINES lines (1000000) by `hefu settle` into a running Hefu: lines a second, and the most memory of both
	HEFU_STATEMENT_LINES=$(LINES) cargo test $(OPTIMISED) --test gateway -- --nocapture long_statement::

fuzz: ## Fuzz everything that reads bytes from outside, SECONDS_EACH a target (600)
	scripts/fuzz

image: ## Build the container's image without a registry, on bases put together from Debian's packages, and run it (as root)
	scripts/image

bench: setup-bench ## Measure; prints ratios to a bare Pingora proxy of the same profile
	cargo bench --bench bench -- micro
	cargo bench --bench bench -- store
	cargo bench --bench bench -- side_by_side
	cargo bench --bench bench -- growth
	cargo bench --bench bench -- brown_outs

setup:
	@scripts/setup test

setup-demo:
	@scripts/setup demo

setup-check:
	@scripts/setup check

setup-bench:
	@scripts/setup bench
