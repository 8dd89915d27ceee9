#!/usr/bin/env bash
# Installs what a build needs besides Rust: the system's OpenBLAS, a C compiler (for SQLite), and pkg-config.
# Does nothing where they are there already.
set -euo pipefail

# Accelerate comes with macOS, and is the default there.
if [ "$(uname -s)" = Darwin ]; then
    xcode-select -p >/dev/null 2>&1 || xcode-select --install
    exit 0
fi

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# The rpm and Arch packages of OpenBLAS keep the headers in the same package, Debian's in -dev.
install_packages() {
    if have apt-get; then
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            build-essential pkg-config libopenblas-dev
    elif have dnf; then
        as_root dnf install -y -q gcc pkgconf-pkg-config openblas-devel
    elif have pacman; then
        as_root pacman -S --needed --noconfirm base-devel pkgconf openblas
    elif have brew; then
        brew install pkgconf openblas
    else
        echo "setup: no apt, dnf, pacman or brew here: install a C compiler, pkg-config and OpenBLAS's development files" >&2
        exit 1
    fi
}

have_openblas() {
    [ -n "${OPENBLAS_LIB_DIR:-}" ] || pkg-config --exists openblas
}

if have cc && have pkg-config && have_openblas; then
    exit 0
fi
echo "setup: installing OpenBLAS, a C compiler and pkg-config" >&2
install_packages
