# common.sh - what the gates share; sourced, not run.
# SPDX-License-Identifier: MIT
#
# A gate is check_NAME.sh [ROOT]: silent and 0 when ROOT (default: this tree) is in order, else one
# line "file:line: what is wrong" per finding on stdout and 1. A tool that is missing: 77, which
# ctest shows as skipped.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")

# use_root [DIR]: works in DIR from here on.
use_root() { cd "${1:-$root}"; }

# need TOOL...: ends with 77 when one is missing.
need() {
    local tool
    for tool; do
        command -v "$tool" >/dev/null && continue
        echo "SKIP: ${0##*/} needs $tool (scripts/setup.sh installs it)"
        exit 77
    done
}

# c_files: the C files of the tree, or of the folders named, NUL-separated.
c_files() {
    [ $# -gt 0 ] || set -- src cli include tests fuzz bench
    local dir found=()
    for dir; do
        if [ -d "$dir" ]; then found+=("$dir"); fi
    done
    [ ${#found[@]} -eq 0 ] || find "${found[@]}" -name '*.[ch]' -type f -print0 | LC_ALL=C sort -z
}

# done_checking FINDINGS: prints them; ends with 1 when there are any.
done_checking() {
    [ -z "$1" ] && exit 0
    printf '%s\n' "$1"
    exit 1
}
