#!/bin/sh
# cli_snapshots.sh - what the command prints and how it exits, against the files in tests/cli
# SPDX-License-Identifier: MIT
#
#   tests/cli_snapshots.sh VISE [CASE...]      VISE: the built program; CASE: without .cmd
#   UPDATE=1 tests/cli_snapshots.sh VISE ...   writes what it prints now; review it with git diff
#
# tests/cli/CASE.cmd is run by sh in an empty folder, with the functions of fixtures.sh. Its stdout,
# stderr and exit status have to be those of CASE.out, CASE.err and CASE.exit; a file that is not
# there stands for nothing printed, or status 0. Before they are compared, filter() replaces what
# differs from machine to machine and from run to run.
set -u
LC_ALL=C
export LC_ALL

filter()
{
    # 1 times, speeds, memory, processors, versions; in JSON, then in text
    # 2 numbers are cut after three decimals: the last bits differ between CPU levels
    sed -E \
        -e 's/"(([a-z]+_)?ms|images_per_s|peak_rss_mb|session_mb|cores)":[-+.0-9e]+/"\1":#/g' \
        -e 's/"(cpu|version)":"[^"]*"/"\1":"#"/g' \
        -e 's/[0-9]+\.[0-9]+ (ms|images\/s)/# \1/g' \
        -e 's/thread, [a-z0-9]+$/thread, #/' \
        -e 's/^vise [0-9]+\.[0-9]+\.[0-9]+$/vise #/' \
        -e 's/([0-9]\.[0-9]{3})[0-9]+/\1/g'
}

# same WHAT WANTED GOT: prints how they differ, if they do
same()
{
    if [ -e "$2" ]; then wanted=$2; else wanted=/dev/null; fi
    cmp -s "$wanted" "$3" && return 0
    echo "FAIL $name: $1"
    diff -u "$wanted" "$3"
    failed=1
}

# keep WANTED GOT: the new snapshot, or none where it would be empty
keep()
{
    if [ -s "$2" ]; then cp "$2" "$1"; else rm -f "$1"; fi
}

[ $# -ge 1 ] || { echo "usage: $0 VISE [CASE...]" >&2; exit 2; }
VISE=$(cd "$(dirname "$1")" && pwd)/$(basename "$1") || exit 2
[ -x "$VISE" ] || { echo "$0: $VISE is not a program" >&2; exit 2; }
shift
export VISE
cases=$(cd "$(dirname "$0")/cli" && pwd) || exit 2
tmp=$(mktemp -d) || exit 2
trap 'rm -rf "$tmp"' EXIT

failed=0
count=0
[ $# -gt 0 ] || set -- "$cases"/*.cmd
for path; do
    name=$(basename "$path" .cmd)
    [ -f "$cases/$name.cmd" ] || { echo "FAIL $name: no such case"; failed=1; continue; }
    count=$((count + 1))
    mkdir "$tmp/$name"
    (cd "$tmp/$name" && . "$cases/fixtures.sh" && . "$cases/$name.cmd") \
        >"$tmp/out" 2>"$tmp/err" </dev/null
    status=$?
    : >"$tmp/got.exit"
    [ $status -eq 0 ] || echo $status >"$tmp/got.exit"
    filter <"$tmp/out" >"$tmp/got.out"
    filter <"$tmp/err" >"$tmp/got.err"
    for what in out err exit; do
        if [ "${UPDATE:-}" = 1 ]; then
            keep "$cases/$name.$what" "$tmp/got.$what"
        else
            same $what "$cases/$name.$what" "$tmp/got.$what"
        fi
    done
    rm -rf "${tmp:?}/$name"
done
[ $count -gt 0 ] || { echo "FAIL: no cases in $cases"; exit 1; }
echo "$count cases"
exit $failed
