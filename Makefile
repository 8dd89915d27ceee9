# For those who have make; scripts/chat.sh and scripts/test.sh are all that a fresh machine with Rust needs.

.PHONY: chat test bench setup

# Builds, and opens the chat on the model of the source tree.
chat:
	@scripts/chat.sh

# The whole test suite.
test:
	@scripts/test.sh

# What this machine does with the default model, and the microbenchmarks.
bench: setup
	cargo run --release -- bench
	cargo bench

# OpenBLAS, a C compiler and pkg-config, where they are missing.
setup:
	@scripts/setup.sh
