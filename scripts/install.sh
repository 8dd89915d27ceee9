#!/usr/bin/env bash
# Installs gibber below a prefix: the program, completions for bash, zsh and fish, manual pages, the default model, and the
# licences. What is installed is listed in PREFIX/share/gibber/installed, from which `--uninstall` removes it again, and
# nothing else.
#
#   scripts/install.sh [PREFIX]              PREFIX is /usr/local where none is named
#   scripts/install.sh --uninstall [PREFIX]
#
# Environment: DESTDIR stands before the prefix where a package is made. GIBBER_BINARY names a program that was built
# already; otherwise a release build is made where there is cargo. GIBBER_NO_MODEL=1 leaves the model out, for a program
# that carries it inside; GIBBER_NO_LIST=1 the list, for a package whose manager has one; GIBBER_ZSH names the folder of
# zsh's completions below the prefix.
set -euo pipefail
# Everyone may read what is installed, whatever the one who installs it lets others see.
umask 022
tree=$(cd "$(dirname "$0")/.." && pwd)

uninstall=
if [ "${1:-}" = --uninstall ]; then
    uninstall=1
    shift
fi
prefix=${1:-/usr/local}
case $prefix in
-*)
    echo "install: $prefix is no flag of this: [--uninstall] [PREFIX]" >&2
    exit 2
    ;;
/*) ;;
*) prefix=$PWD/$prefix ;;
esac
prefix=${prefix%/}
root=${DESTDIR:-}$prefix
list=share/gibber/installed

if [ -n "$uninstall" ]; then
    if [ ! -f "$root/$list" ]; then
        echo "uninstall: $root/$list is not there: nothing was installed below $root by this" >&2
        exit 1
    fi
    while IFS= read -r file; do
        case /$file/ in
        */../* | //*) echo "uninstall: '$file' in $root/$list is left alone" >&2 ;;
        *) rm -f -- "$root/$file" ;;
        esac
    done <"$root/$list"
    rm -f -- "$root/$list"
    # Folders of its own that are empty now; what somebody put there stays.
    for folder in share/gibber/models share/gibber share/doc/gibber; do
        rmdir -- "$root/$folder" 2>/dev/null || true
    done
    echo "removed from $root"
    exit 0
fi

binary=${GIBBER_BINARY:-}
if [ -z "$binary" ]; then
    if command -v cargo >/dev/null; then
        cargo build --release --locked --manifest-path "$tree/Cargo.toml"
    fi
    # As root there may be no cargo: then it was built before.
    binary=${CARGO_TARGET_DIR:-$tree/target}/release/gibber
fi
if [ ! -x "$binary" ]; then
    echo "install: $binary is not there: build it first with 'cargo build --release', or name a built one in GIBBER_BINARY" >&2
    exit 1
fi

made=$(mktemp -d)
trap 'rm -rf "$made"' EXIT
# What the program prints is the same wherever its settings are.
export GIBBER_CONFIG_DIR=$made/config
for shell in bash zsh fish; do
    "$binary" completions "$shell" >"$made/$shell"
done
"$binary" man "$made/man"

: >"$made/list"
# put MODE FROM TO: TO is below the prefix.
put() {
    mkdir -p -- "$root/$(dirname "$3")"
    # Beside and then renamed, so that a program that runs stays whole.
    install -m "$1" -- "$2" "$root/$3.new"
    mv -f -- "$root/$3.new" "$root/$3"
    printf '%s\n' "$3" >>"$made/list"
}

put 755 "$binary" bin/gibber
put 644 "$made/bash" share/bash-completion/completions/gibber
put 644 "$made/zsh" "${GIBBER_ZSH:-share/zsh/site-functions}/_gibber"
put 644 "$made/fish" share/fish/vendor_completions.d/gibber.fish
for page in "$made"/man/*.1; do
    put 644 "$page" "share/man/man1/$(basename "$page")"
done
for text in README.md CHANGELOG.md config.example.toml LICENSE-MIT LICENSE-APACHE NOTICE; do
    put 644 "$tree/$text" "share/doc/gibber/$text"
done
put 644 "$tree/assets/models/LICENSE-SmolLM2" share/doc/gibber/LICENSE-SmolLM2
if [ -z "${GIBBER_NO_MODEL:-}" ]; then
    for model in "$tree"/assets/models/*.gguf; do
        put 644 "$model" "share/gibber/models/$(basename "$model")"
    done
fi
if [ -z "${GIBBER_NO_LIST:-}" ]; then
    mkdir -p -- "$root/share/gibber"
    # What an earlier version had and this one has not is removed with it.
    if [ -f "$root/$list" ]; then cat -- "$root/$list" >>"$made/list"; fi
    sort -u "$made/list" >"$made/all"
    install -m 644 -- "$made/all" "$root/$list"
fi
echo "installed below $root"
case :$PATH: in
*:"$prefix/bin":*) ;;
*) [ -n "${DESTDIR:-}" ] || echo "$prefix/bin is not in PATH: add it, or call $prefix/bin/gibber" ;;
esac
