# pgdeck: `make demo` to see it, `make test` to check it.

.DEFAULT_GOAL := help
SHELL := /bin/bash
CARGO := ./scripts/cargo

.PHONY: help setup demo test bench lint fmt

help: ## list what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

setup: ## install what is missing (Debian/Ubuntu), or say what to install
	@./scripts/setup

demo: setup ## build, start a small real fleet on this machine, open the console on it
	@$(CARGO) build --release
	@./target/release/pgdeck demo

test: setup ## every test, on real Postgres and Patroni
	@./tests/get-postgres
	@$(CARGO) test

bench: setup ## measure the figures into target/bench.json; fails over a target
	@$(CARGO) bench --bench fleet

lint: ## formatting and clippy
	@$(CARGO) fmt --check
	@$(CARGO) clippy --all-targets -- -D warnings

fmt: ## format the code
	@$(CARGO) fmt
