# pgdeck: `make demo` to see it, `make test` to check it.

.DEFAULT_GOAL := help
SHELL := /bin/bash
CARGO := ./scripts/cargo

.PHONY: help setup demo test test-real test-matrix real-up real-enter real-down bench bench-real lint fmt

help: ## list what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: ## install what is missing (Debian/Ubuntu), or say what to install
	@./scripts/setup

demo: setup ## build, start a small real fleet on this machine, open the console on it
	@$(CARGO) build --release
	@./target/release/pgdeck demo

test: setup ## every test, on real Postgres and Patroni, and on a real Kubernetes with the real operator
	@./tests/get-postgres
	@[ "$(PGDECK_SKIP_REAL)" = 1 ] || ./tests/real/build
	@$(CARGO) test

test-real: setup ## those alone that need a real Kubernetes with the real operator
	@$(CARGO) test --test real

test-matrix: setup ## those on other versions of Kubernetes and Patroni, and on Endpoints (long)
	@./tests/real/matrix

real-up: setup ## start a real Kubernetes with the real operator, for you (the first time builds it, minutes)
	@$(CARGO) build
	@./tests/real/up

real-enter: ## a shell on it: kubectl, psql and pgdeck find their way
	@./tests/real/enter

real-down: ## end it
	@./tests/real/down

bench: setup ## measure the figures into target/bench.json; fails over a target
	@$(CARGO) bench --bench fleet

bench-real: setup ## the same with 2,000 clusters in a real Kubernetes API, into target/bench-real.json (long)
	@./tests/real/crowd silent churn heartbeat heartbeat+churn

lint: ## formatting and clippy
	@$(CARGO) fmt --check
	@$(CARGO) clippy --all-targets -- -D warnings

fmt: ## format the code
	@$(CARGO) fmt
