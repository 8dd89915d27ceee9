#!/usr/bin/env bash
# Installs what is missing, builds, and opens the chat on the model of the source tree. Arguments are the program's.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
exec cargo run --release -- "$@"
