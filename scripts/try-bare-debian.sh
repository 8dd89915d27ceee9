#!/usr/bin/env bash
# Runs README's test command on a bare Debian: a minimal system made by debootstrap, from the mirror that this machine's
# apt uses, with Rust's folders and the source tree copied in and nothing else. Needs root and debootstrap, and takes as
# long as a first build. The system is removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=$(. /etc/os-release && echo "${VERSION_CODENAME:?}")
mirror=$(apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    awk -v suite="$suite" '$1 == "Debian" && $2 == suite { print $3; exit }')
: "${mirror:?apt knows no Debian mirror of $suite}"
toolchain=$(rustc --print sysroot)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
root=$(mktemp -d)

mounted=()
clean_up() {
    local status=$? at
    for ((at = ${#mounted[@]} - 1; at >= 0; at--)); do
        umount "${mounted[at]}" || umount -l "${mounted[at]}"
    done
    # Whatever was not unmounted is left alone.
    rm -rf --one-file-system "$root"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP

mount_in() {
    local target=$root${*: -1}
    mount "${@:1:$#-1}" "$target"
    mounted+=("$target")
}

echo "== a bare Debian $suite"
debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$root.log" 2>&1 || { cat "$root.log" && exit 1; }
rm -f "$root.log"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
apt-config dump | grep -E '^Acquire::[^ ]*Proxy' >"$root/etc/apt/apt.conf.d/proxy" || true

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

mount_in -t proc proc /proc
mount_in --bind /dev /dev
mount_in --bind /dev/pts /dev/pts

for program in make cc pkg-config curl git python3; do
    if chroot "$root" sh -c "command -v $program" >/dev/null; then echo "there is $program"; else echo "there is no $program"; fi
done

# The lines of README that follow "```", as they stand there.
command=$(awk '/^scripts\/test\.sh/ { print $1; exit }' README.md)
echo "== ${command:?README names no test command}"
chroot "$root" env -i HOME=/root PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    CARGO_TERM_COLOR=never ${CARGO_NET_OFFLINE:+CARGO_NET_OFFLINE=$CARGO_NET_OFFLINE} sh -c "cd /gibber && $command"
