#!/bin/bash
# teacher.sh - the larger teacher (scripts/make_teacher.sh) and its compressed variants, beside the model that comes
# with vise: size, answers to 10,000 pictures, time of one.
# SPDX-License-Identifier: MIT
#
# Writes bench/results/teacher.csv.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/common.sh

teacher=build/teacher.vise
out=bench/results/teacher.csv
test=scenes:seed=2,count=10000,size=64
calib=(--calib 'scenes:seed=3,count=512,size=64' --calib-count 512)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
[ -e $teacher ] || scripts/make_teacher.sh

# Lines "NAME PASS".
table() {
    cat <<'END'
int8 quantize weights=int8
int4 quantize weights=int4
int3 quantize weights=int3
w4a4 quantize weights=int4 acts=static4 ends=same
k64 cluster k=64
k16 cluster k=16
END
}

# row NAME FILE: against the teacher.
row() {
    local line ms
    line=$($vise eval "$2" --against "$tmp/f32.vise" --data $test --json --quiet)
    ms=$($vise bench "$2" --threads 1 --runs 50 --json --quiet | field min_ms)
    echo "$1,$(field n <<<"$line"),$(field correct_top1 <<<"$line"),$(field agreement <<<"$line"),$(
        field mean_kl <<<"$line"),$(stat -c %s "$2"),$ms"
}

$vise convert $teacher "$tmp/f32.vise" --quiet >/dev/null
{
    provenance bench/teacher.sh
    echo model,n,top1,agreement,mean_kl,file_bytes,min_ms
    row f32 "$tmp/f32.vise"
    while read -r name pass; do
        $vise compress "$tmp/f32.vise" "$tmp/small.vise" --pass "$pass" "${calib[@]}" --quiet >/dev/null
        row "$name" "$tmp/small.vise"
    done < <(table)
    row shipped data/scenes.vise
} >"$tmp/csv"
cp "$tmp/csv" $out
cat $out
