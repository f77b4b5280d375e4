#!/bin/bash
# check_symbols.sh LIBRARY HEADER OBJECT... - the shared library exports exactly what HEADER marks
# VISE_API, and no object defines an external symbol without the prefix vise_.
# SPDX-License-Identifier: MIT
set -euo pipefail
. "$(dirname "$0")/common.sh"
[ $# -ge 3 ] || { echo "check_symbols.sh LIBRARY HEADER OBJECT..."; exit 2; }
need nm
library=$1 header=$2
shift 2

# The name before the parenthesis of each declaration that VISE_API begins.
declared=$(sed 's,//.*,,; /^[ \t]*#/d' "$header" | tr '\n' ' ' | tr ';' '\n' |
    sed -n 's/.*VISE_API[^(]*[ *]\([A-Za-z0-9_]*\)(.*/\1/p' | LC_ALL=C sort -u)
exported=$(nm -D --defined-only "$library" | awk '{ sub(/@.*/, "", $3); print $3 }' | LC_ALL=C sort -u)
foreign=$(nm -A -g --defined-only "$@" | awk '$NF !~ /^vise_/ { sub(/.*\//, "", $1); sub(/:.*/, ":", $1); print $1, $NF }')

found=
say() { # FORMAT LINES
    if [ -n "$2" ]; then found+=$(sed "s/.*/$1/" <<<"$2")$'\n'; fi
}
if [ -z "$declared" ]; then found="$header: no VISE_API declaration was found"$'\n'; fi
say 'exported, but not VISE_API in vise.h: &' "$(comm -13 <(echo "$declared") <(echo "$exported") | sed '/^$/d')"
say 'VISE_API in vise.h, but not exported: &' "$(comm -23 <(echo "$declared") <(echo "$exported") | sed '/^$/d')"
say 'external symbol without vise_: &' "$foreign"
done_checking "${found%$'\n'}"
