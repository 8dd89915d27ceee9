#!/usr/bin/env bash
# Makes the packages and tries them where there is nothing else: a bare Debian, made by debootstrap from the mirror that this
# machine's apt uses. The package is installed by apt and removed again, then the tarball is unpacked. Needs root and
# debootstrap. Arguments are those of scripts/release.sh, such as `--binary FILE`.
set -euo pipefail
cd "$(dirname "$0")/.."
packages=$(mktemp -d)
scripts/release.sh "$@" "$packages"

. scripts/bare-debian.sh
mkdir "$root/packages"
mv "$packages"/* "$root/packages/"
rmdir "$packages"

chat() {
    answer=$(in_root "$1" run --temp 0 -p "What is the capital of France?")
    echo "$answer"
    [ "$answer" = "The capital of France is Paris." ]
}
expect() { if in_root sh -c "$1"; then echo "$1"; else echo "not so: $1" >&2 && exit 1; fi; }

echo "== the package"
in_root apt-get update -qq
in_root sh -c 'DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends /packages/*.deb' >"$root/log" 2>&1 ||
    { cat "$root/log" && exit 1; }
expect 'test -x /usr/bin/gibber && gibber --version'
expect 'test -s /usr/share/bash-completion/completions/gibber && test -s /usr/share/zsh/vendor-completions/_gibber'
# A minimal system leaves manual pages and documentation out as packages are installed.
expect 'dpkg -L gibber | grep -c /usr/share/man/man1/gibber'
expect 'ldd /usr/bin/gibber | grep -c "not found" | grep -qx 0'
in_root gibber models list
chat gibber
in_root dpkg --purge gibber >/dev/null
expect 'test ! -e /usr/bin/gibber && test ! -e /usr/share/gibber'

echo "== the tarball"
expect 'cd /opt && tar -xzf /packages/*.tar.gz && ls /opt'
chat "$(in_root sh -c 'ls /opt/*/bin/gibber')"
echo "== done"
