#!/usr/bin/env bash
# Installs what is missing, builds, and opens the chat on the model of the source tree. Arguments are the program's; the
# files that they name are those of the folder in which this is called.
set -euo pipefail
tree=$(cd "$(dirname "$0")/.." && pwd)
"$tree/scripts/setup.sh"
exec cargo run --release --manifest-path "$tree/Cargo.toml" -- "$@"
