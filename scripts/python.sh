#!/usr/bin/env bash
# Makes a Python with huggingface_hub and llama.cpp for the tests, once, in target/python, and prints where it is. The versions
# are those of scripts/python-requirements.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
requirements=scripts/python-requirements.txt
folder=${CARGO_TARGET_DIR:-$PWD/target}/python
if ! cmp -s "$requirements" "$folder/made-of.txt"; then
    rm -rf "$folder"
    python3 -m venv "$folder" >&2
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$requirements" >&2
    cp "$requirements" "$folder/made-of.txt"
fi
echo "$folder/bin/python"
