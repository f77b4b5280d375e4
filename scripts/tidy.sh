#!/bin/bash
# tidy.sh [BUILD_DIR] - clang-tidy (.clang-tidy) over the library and the command, as built here.
# SPDX-License-Identifier: MIT
set -euo pipefail
. "$(dirname "$0")/common.sh"
need clang-tidy cmake
use_root

build=${1:-build-clang}
CC=clang cmake -S . -B "$build" -G Ninja --log-level=WARNING \
    -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >/dev/null
mapfile -t files < <(sed -n 's/^ *"file": "\(.*\)".*/\1/p' "$build/compile_commands.json" |
    grep -E "^$root/(src|cli)/" | LC_ALL=C sort)
[ ${#files[@]} -gt 0 ] || { echo "tidy.sh: $build/compile_commands.json names no file"; exit 1; }
if ! found=$(printf '%s\0' "${files[@]}" |
    xargs -0 -n 4 -P "$(nproc)" clang-tidy -p "$build" --quiet 2>&1); then
    done_checking "$(grep -v 'warnings\? .*generated' <<<"$found")"
fi
