# `make chat` and `make test` are all that a fresh machine with Rust needs.

.PHONY: chat test bench setup

# Builds, and opens the chat on the model of the source tree.
chat: setup
	cargo run --release

# The whole test suite.
test: setup
	cargo test --no-fail-fast

# What this machine does with the default model, and the microbenchmarks.
bench: setup
	cargo run --release -- bench
	cargo bench

# OpenBLAS, a C compiler and pkg-config, where they are missing.
setup:
	@scripts/setup.sh
