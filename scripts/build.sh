#!/bin/bash
# build.sh [BUILD_DIR] [CMAKE_OPTION...] - installs what is missing and builds BUILD_DIR/vise
# (default: build/vise) for release.
# SPDX-License-Identifier: MIT
set -euo pipefail
cd "$(dirname "$0")/.."

dir=build
if [ $# -gt 0 ] && [[ $1 != -* ]]; then
    dir=$1
    shift
fi
scripts/setup.sh
cmake -S . -B "$dir" -G Ninja --log-level=WARNING "$@" >/dev/null
cmake --build "$dir" --target vise -- --quiet
