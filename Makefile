.PHONY: help quickstart test bench record clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 14

quickstart: ## build, then sync recorded changes into a SQLite table that people edited too
	@scripts/quickstart

test: ## format, lints, and every test against a real Kafka, PostgreSQL, MariaDB and Debezium
	@scripts/test

bench: ## every stage against its ceiling, as ratios
	@scripts/bench

record: ## record the quick start's changes and the test fixtures from a real Debezium, anew
	@scripts/record-debezium

clean: ## remove what the quick start left in state/
	@rm -rf state
