#!/bin/bash
# tidy.sh [BUILD_DIR] - clang-tidy (.clang-tidy) over the library and the command.
# SPDX-License-Identifier: MIT
set -euo pipefail
. "$(dirname "$0")/common.sh"
need clang-tidy cmake
use_root

build=${1:-build-clang}
CC=clang cmake -S . -B "$build" -G Ninja --log-level=WARNING \
    -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >/dev/null
if ! found=$(find src cli -name '*.c' -print0 | LC_ALL=C sort -z |
    xargs -0 -n 4 -P "$(nproc)" clang-tidy -p "$build" --quiet 2>&1); then
    done_checking "$(grep -v 'warnings\? .*generated' <<<"$found")"
fi
