#!/usr/bin/env bash
# Runs README's test command on a bare Debian: a minimal system made by debootstrap, from the mirror that this machine's
# apt uses, with Rust's folders and the source tree copied in and nothing else. Needs root and debootstrap, and takes as
# long as a first build. The system is removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

toolchain=$(rustc --print sysroot)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
. scripts/bare-debian.sh

echo "== Rust and the source tree"
mkdir -p "$root/opt/rust" "$root/root/.cargo" "$root/gibber"
for folder in bin lib libexec; do
    if [ -e "$toolchain/$folder" ]; then cp -a "$toolchain/$folder" "$root/opt/rust/"; fi
done
# The crates that were downloaded already, and where they come from.
for part in registry config.toml; do
    if [ -e "$cargo_home/$part" ]; then cp -a "$cargo_home/$part" "$root/root/.cargo/"; fi
done
git ls-files -z | tar --null --files-from=- -cf - | tar -xf - -C "$root/gibber"

for program in make cc pkg-config curl git python3; do
    if chroot "$root" sh -c "command -v $program" >/dev/null; then echo "there is $program"; else echo "there is no $program"; fi
done

# The lines of README that follow "```", as they stand there.
command=$(awk '/^scripts\/test\.sh/ { print $1; exit }' README.md)
echo "== ${command:?README names no test command}"
in_root PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    CARGO_TERM_COLOR=never ${CARGO_NET_OFFLINE:+CARGO_NET_OFFLINE=$CARGO_NET_OFFLINE} sh -c "cd /gibber && $command"
