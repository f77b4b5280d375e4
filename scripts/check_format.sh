#!/bin/bash
# check_format.sh [ROOT] - every C file is as clang-format would write it.
# SPDX-License-Identifier: MIT
set -euo pipefail
. "$(dirname "$0")/common.sh"
use_root "${1:-}"
need clang-format

if ! found=$(c_files | xargs -0r clang-format --dry-run -Werror 2>&1); then
    done_checking "$(grep 'error:' <<<"$found" || echo "$found")"
fi
