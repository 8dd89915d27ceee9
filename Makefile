# For those who have make; scripts/chat.sh and scripts/test.sh are all that a fresh machine with Rust needs.

.PHONY: chat test bench setup install uninstall release

# Where it is installed; DESTDIR stands before it where a package is made.
PREFIX ?= /usr/local
export DESTDIR

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

# The program, completions, manual pages and the default model below PREFIX. Build before with `cargo build --release` where
# root has no Rust.
install:
	@scripts/install.sh "$(PREFIX)"

# What `make install` has put there, and nothing else.
uninstall:
	@scripts/install.sh --uninstall "$(PREFIX)"

# A tarball and a Debian package in target/packages.
release:
	@scripts/release.sh
