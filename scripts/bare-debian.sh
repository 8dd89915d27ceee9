# Sourced by what is tried on a bare Debian: `root` is a minimal system made by debootstrap, from the mirror that this
# machine's apt uses, with nothing in it; `in_root` runs a command there. It is removed when the script ends. Needs root.
# shellcheck shell=bash

suite=$(. /etc/os-release && echo "${VERSION_CODENAME:?}")
mirror=$(apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    awk -v suite="$suite" '$1 == "Debian" && $2 == suite { print $3; exit }')
: "${mirror:?apt knows no Debian mirror of $suite}"
root=$(mktemp -d)
# apt reads as a user of its own.
chmod 755 "$root"

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

# As little of this machine as there can be.
in_root() {
    chroot "$root" env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

echo "== a bare Debian $suite"
debootstrap --variant=minbase "$suite" "$root" "$mirror" >"$root.log" 2>&1 || { cat "$root.log" && exit 1; }
rm -f "$root.log"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
apt-config dump | grep -E '^Acquire::[^ ]*Proxy' >"$root/etc/apt/apt.conf.d/proxy" || true
mount_in -t proc proc /proc
mount_in --bind /dev /dev
mount_in --bind /dev/pts /dev/pts
