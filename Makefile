.PHONY: help quickstart test bench record clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 14

quickstart: ## build, then write recorded changes to a SQLite table that people edited too
	@scripts/quickstart

test: ## check format and lints, and run every test against a real Kafka, PostgreSQL, MariaDB and Debezium
	@scripts/test

bench: ## measure every stage as a ratio to its ceiling
	@scripts/bench

record: ## record the quick start's changes and the test fixtures again from a real Debezium
	@scripts/record-debezium

clean: ## remove the folder state/ of the quick start
	@rm -rf state
