#!/bin/bash
# check_header.sh [ROOT] - include/vise.h compiles alone, as C11 and as C++17, with gcc and clang.
# SPDX-License-Identifier: MIT
set -euo pipefail
. "$(dirname "$0")/common.sh"
use_root "${1:-}"
need gcc g++ clang clang++

found=
alone() { # COMPILER LANGUAGE FLAG...
    local compiler=$1 language=$2
    shift 2
    printf '#include "vise.h"\n' |
        "$compiler" -x "$language" -Iinclude -fsyntax-only -Wall -Wextra -Wpedantic -Werror "$@" - 2>&1 ||
        echo "vise.h: not clean with $compiler $*"
}
found+=$(alone gcc c -std=c11 -Wshadow -Wstrict-prototypes)
found+=$(alone g++ c++ -std=c++17)
found+=$(alone clang c -std=c11 -Weverything -Wno-padded -Wno-unused-macros)
found+=$(alone clang++ c++ -std=c++17)
done_checking "$found"
