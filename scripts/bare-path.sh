#!/usr/bin/env bash
# Fills a folder with links to the programs that a bare Debian has once scripts/setup.sh has run, and to no others: what
# its essential and required packages bring, and what set-up installs with all it depends on. As the PATH of the tests it
# shows that they lean on nothing else.
set -euo pipefail
folder=${1:?usage: scripts/bare-path.sh FOLDER}
cd "$(dirname "$0")/.."
mkdir -p "$folder"

no_more=(--no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances)
required=$(dpkg-query -W -f '${Essential} ${Priority} ${binary:Package}\n' | awk '$1 == "yes" || $2 == "required" { print $NF }')
mapfile -t wanted < <(printf '%s\n' "$required"; scripts/setup.sh --packages)
mapfile -t packages < <(apt-cache depends --recurse --installed "${no_more[@]}" "${wanted[@]}" | grep '^[a-z0-9]' | sort -u)

# Some of the names are of packages that others provide.
{ dpkg -L "${packages[@]}" 2>/dev/null || true; } | grep -E '^(/usr)?/s?bin/[^/]+$' | sort -u | while read -r program; do
    if [ -x "$program" ]; then ln -sf "$program" "$folder/"; fi
done

# Names such as `awk` and `cc`, which no package has: they are chosen among programs of several.
for program in /usr/bin/* /usr/sbin/*; do
    case $(readlink "$program" || true) in
    /etc/alternatives/*)
        chosen=$(basename "$(readlink -f "$program")")
        if [ -e "$folder/$chosen" ]; then ln -sf "$program" "$folder/"; fi
        ;;
    esac
done
