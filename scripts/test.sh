#!/usr/bin/env bash
# Installs what is missing, and runs the whole test suite. Arguments are those of `cargo test`.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
exec cargo test --workspace --no-fail-fast "$@"
