#!/usr/bin/env bash
# Makes what is given to people who have no source tree: a tarball to unpack anywhere and a Debian package, with the default
# model beside the program (or inside it), and their SHA-256.
#
#   scripts/release.sh [--embed] [--binary FILE] [FOLDER]
#
# FOLDER is target/packages where none is named. --embed: the model is inside the program. --binary takes a program that was
# built already (with `--features embed-model` where --embed is said), otherwise a release build is made. The package is put
# together by dpkg-deb, or by ar and tar where that is missing.
set -euo pipefail
# Everyone may read what is installed, whatever the one who installs it lets others see.
umask 022
tree=$(cd "$(dirname "$0")/.." && pwd)
embed= binary= out=$tree/target/packages
while [ $# -gt 0 ]; do
    case $1 in
    --embed) embed=1 ;;
    --binary)
        binary=${2:?--binary needs a file}
        shift
        ;;
    -*)
        echo "release: $1 is no flag of this: [--embed] [--binary FILE] [FOLDER]" >&2
        exit 2
        ;;
    *) out=$1 ;;
    esac
    shift
done
mkdir -p "$out"
out=$(cd "$out" && pwd)

if [ -z "$binary" ]; then
    cargo build --release --locked --manifest-path "$tree/Cargo.toml" ${embed:+--features embed-model}
    binary=${CARGO_TARGET_DIR:-$tree/target}/release/gibber
fi
[ -x "$binary" ] || { echo "release: there is no program $binary" >&2 && exit 1; }
version=$("$binary" --version | awk '{ print $2 }')
machine=$(uname -m)
system=$(uname -s | tr '[:upper:]' '[:lower:]')
# The same sources give the same packages.
time=${SOURCE_DATE_EPOCH:-$(git -C "$tree" log -1 --format=%ct 2>/dev/null || date +%s)}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$binary" "$work/gibber"
if command -v strip >/dev/null; then strip --strip-debug "$work/gibber"; fi
# The same moment, owner and order for all files.
pack() { tar --sort=name --mtime="@$time" --owner=0 --group=0 --numeric-owner "$@"; }
stage() { env GIBBER_BINARY="$work/gibber" GIBBER_NO_LIST=1 GIBBER_NO_MODEL="$embed" "$@" >/dev/null; }

echo "== a tarball"
name=gibber-$version-$machine-$system
stage "$tree/scripts/install.sh" "$work/$name"
pack -cf - -C "$work" "$name" | gzip -n >"$out/$name.tar.gz"

echo "== a Debian package"
case $machine in
x86_64) architecture=amd64 ;;
aarch64) architecture=arm64 ;;
*) architecture=$(dpkg --print-architecture 2>/dev/null || echo "$machine") ;;
esac
stage DESTDIR="$work/deb" GIBBER_ZSH=share/zsh/vendor-completions "$tree/scripts/install.sh" /usr
# Where Debian looks for the licence.
cat "$tree/LICENSE-MIT" "$tree/NOTICE" >"$work/deb/usr/share/doc/gibber/copyright"
# The newest symbols of the C library that the program asks for.
libc=$(grep -ao 'GLIBC_2\.[0-9]*' "$work/gibber" | sort -uV | tail -n 1 | sed 's/GLIBC_//')
size=$(du -sk "$work/deb/usr" | awk '{ print $1 }')
mkdir -p "$work/deb/DEBIAN"
cat >"$work/deb/DEBIAN/control" <<CONTROL
Package: gibber
Version: $version
Architecture: $architecture
Maintainer: the makers of gibber <gibber@localhost>
Installed-Size: $size
Depends: libc6 (>= ${libc:-2.17}), libgcc-s1, libopenblas0
Recommends: ca-certificates
Section: utils
Priority: optional
Description: chat with a language model in the terminal, on the CPU
 An interactive terminal chat that runs a language model in its own process,
 on the CPU, and lets you see and steer how it chooses.
CONTROL
(cd "$work/deb" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$work/deb" -exec touch -h -d "@$time" {} +
package=$out/gibber_${version}_$architecture.deb
if command -v dpkg-deb >/dev/null && [ -z "${GIBBER_NO_DPKG:-}" ]; then
    # The model is as small as it gets: gzip takes seconds where xz takes minutes.
    SOURCE_DATE_EPOCH=$time dpkg-deb --root-owner-group -Zgzip --build "$work/deb" "$package" >/dev/null
else
    echo 2.0 >"$work/debian-binary"
    pack -cf - -C "$work/deb/DEBIAN" . | gzip -n >"$work/control.tar.gz"
    pack -cf - -C "$work/deb" ./usr | gzip -n >"$work/data.tar.gz"
    rm -f "$package"
    (cd "$work" && ar rcD "$package" debian-binary control.tar.gz data.tar.gz)
fi

cd "$out"
sha256sum "$name.tar.gz" "$(basename "$package")" | tee SHA256SUMS
