#!/usr/bin/env bash
# Installs what a build needs besides Rust: the system's OpenBLAS, a C compiler (for SQLite), and pkg-config. Says what it
# does in two lines; what the system's installer says is shown only where it fails. Does nothing, and says nothing, where
# all is there already. `--packages` prints what would be installed on Debian.
set -euo pipefail

# Debian's names. The rpm and Arch packages of OpenBLAS keep the headers in the same package, Debian's in -dev.
debian=(build-essential pkg-config libopenblas-dev)
if [ "${1:-}" = --packages ]; then
    printf '%s\n' "${debian[@]}"
    exit 0
fi

# Accelerate comes with macOS, and is the default there.
if [ "$(uname -s)" = Darwin ]; then
    xcode-select -p >/dev/null 2>&1 || xcode-select --install
    exit 0
fi

have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

have_openblas() {
    [ -n "${OPENBLAS_LIB_DIR:-}" ] || pkg-config --exists openblas
}

if have cc && have pkg-config && have_openblas; then
    exit 0
fi

# With the name of the installer first, so that it can be said before it runs.
install_packages() {
    case $1 in
    apt-get)
        as_root apt-get update -q &&
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${debian[@]}"
        ;;
    dnf) as_root dnf install -y -q gcc pkgconf-pkg-config openblas-devel ;;
    pacman) as_root pacman -S --needed --noconfirm base-devel pkgconf openblas ;;
    brew) brew install pkgconf openblas ;;
    esac
}

for installer in apt-get dnf pacman brew none; do
    have "$installer" && break
done
if [ "$installer" = none ]; then
    echo "setup: no apt-get, dnf, pacman or brew here: install a C compiler, pkg-config and OpenBLAS's development files" >&2
    exit 1
fi

echo "setup: installing a C compiler, pkg-config and OpenBLAS with $installer, which can take some minutes" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! install_packages "$installer" >"$log" 2>&1; then
    cat "$log" >&2
    echo "setup: $installer has failed; what it said stands above" >&2
    exit 1
fi
echo "setup: installed" >&2
