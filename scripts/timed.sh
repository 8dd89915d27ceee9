#!/usr/bin/env bash
# Runs a program for cargo (`target.*.runner`); a binary of tests says how long each takes. That flag of libtest's is not
# stable: the variable, seen by this program alone and not by the compiler, lets it through.
set -euo pipefail
case $1 in
*/deps/matmul-*) exec "$@" ;; # has no libtest in it
*/deps/*) RUSTC_BOOTSTRAP=1 exec "$@" -Z unstable-options --report-time ;;
*) exec "$@" ;;
esac
