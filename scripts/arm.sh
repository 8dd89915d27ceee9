#!/usr/bin/env bash
# What builds gibber for 64-bit ARM on another Debian and runs it there: a cross linker and an emulator, which are installed,
# and the standard library of that target and its OpenBLAS, which only lie in a folder (target/arm, or the one that is
# named). Nothing is fetched twice. What it printed last is a file of settings:
#
#   . "$(scripts/arm.sh)" && cargo test -p gibber-engine --lib --target aarch64-unknown-linux-gnu
set -euo pipefail

target=aarch64-unknown-linux-gnu
cd "$(dirname "$0")/.."
folder=${1:-${CARGO_TARGET_DIR:-target}/arm}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
settings=$folder/settings

if ! command -v apt-get >/dev/null; then
    echo "arm: this fetches packages of Debian, and there is no apt-get here" >&2
    exit 1
fi

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# With package lists of its own, for both architectures: the system's stay as they are.
lists=(-o "Dir::State::Lists=$folder/lists" -o "Dir::Cache=$folder/cache"
    -o APT::Sandbox::User=root -o APT::Architecture=amd64 -o APT::Architectures::=amd64 -o APT::Architectures::=arm64)

# The package that PACKAGE depends on whose name begins with PREFIX and a number.
numbered() {
    apt-cache "${lists[@]}" depends "$1" | sed -n "s/^ *Depends: \\($2[0-9][0-9.]*\\).*/\\1/p" | head -n 1
}

# Debian's newer Rust, whose standard libraries are packages: for a Rust here that has none for ARM and no rustup that would
# know where to get it.
has_target() {
    [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]
}

fetch() {
    if ! command -v qemu-aarch64-static >/dev/null || ! command -v aarch64-linux-gnu-gcc >/dev/null; then
        as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            qemu-user-static gcc-aarch64-linux-gnu libc6-dev-arm64-cross
    fi
    mkdir -p "$folder"/{lists/partial,cache/archives/partial,packages,host,arm}
    apt-get "${lists[@]}" -qq update
    local packages=(libopenblas0-pthread:arm64 libopenblas-pthread-dev:arm64 libgfortran5:arm64 libgcc-s1:arm64)
    if ! has_target; then
        local std
        std=$(numbered libstd-rust-web-dev libstd-rust-web-)
        packages+=(rustc-web rust-web-clippy libstd-rust-web-dev:amd64 libstd-rust-web-dev:arm64)
        packages+=("$std" "$(numbered "$std" libllvm)")
    fi
    (cd "$folder/packages" && apt-get "${lists[@]}" -qq download "${packages[@]}")
    for package in "$folder"/packages/*.deb; do
        case $package in
        *_arm64.deb) dpkg -x "$package" "$folder/arm" ;;
        *) dpkg -x "$package" "$folder/host" ;;
        esac
    done
    rm -rf "$folder"/{lists,cache,packages}
}

# A program of the fetched Rust, which finds its libraries beside it.
rust_program() {
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' \
        "$folder/host/usr/lib/x86_64-linux-gnu:$folder/host/usr/lib" "$folder/host/usr/bin/$1" >"$folder/bin/$1"
}

write_settings() {
    local arm=$folder/arm/usr/lib/aarch64-linux-gnu
    mkdir -p "$folder/bin"
    if [ -d "$folder/host/usr" ]; then
        cp -r "$folder/arm/usr/lib/rustlib/$target" "$folder/host/usr/lib/rustlib/"
        rust_program rustc
        rust_program cargo-clippy
        rust_program clippy-driver
    fi
    printf '#!/bin/sh\nexec aarch64-linux-gnu-gcc "$@" -Wl,-rpath-link,%s\n' "$arm" >"$folder/bin/link"
    # `max` has every instruction that the kernels are written for.
    printf '#!/bin/sh\nexec qemu-aarch64-static -cpu max -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=%s "$@"\n' \
        "$arm:$arm/openblas-pthread" >"$folder/bin/emulate"
    chmod +x "$folder"/bin/*
    {
        if [ -e "$folder/bin/rustc" ]; then
            printf 'export RUSTC=%q\n' "$folder/bin/rustc"
        fi
        printf 'export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=%q\n' "$folder/bin/link"
        printf 'export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=%q\n' "$folder/bin/emulate"
        printf 'export CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc\n'
        printf 'export OPENBLAS_LIB_DIR=%q\n' "$arm/openblas-pthread"
        printf 'export PKG_CONFIG_ALLOW_CROSS=1\n'
    } >"$settings"
}

if [ ! -e "$settings" ]; then
    fetch >&2
    write_settings
fi
echo "$settings"
