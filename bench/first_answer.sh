#!/bin/bash
# first_answer.sh - from nothing to the answer for one picture: process start, opening DeiT-Tiny,
# decoding, running, printing; wall time of 30 processes, and the resident set of one.
# SPDX-License-Identifier: MIT
#
# Writes bench/results/first_answer.csv. Needs ../shared/data and build/vise.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/common.sh

out=bench/results/first_answer.csv
checkpoint=$data/checkpoints/deit_tiny_patch16_224/model.safetensors
picture=$(find $data/images/imagenet_eval -name '*.jpg' | sort | sed -n 1p)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p bench/results

# row NAME MODEL CPU_LEVEL
row() {
    local start i
    for i in $(seq 33); do
        start=$(date +%s%N)
        $vise run "$2" "$picture" --threads 1 --cpu "$3" --quiet >/dev/null
        [ "$i" -le 3 ] || echo $((($(date +%s%N) - start) / 10000)) # of 10 us
    done | sort -n >"$tmp/times"
    $vise bench "$2" --threads 1 --cpu "$3" --runs 1 --json --quiet >"$tmp/bench"
    awk -v name="$1" -v cpu="$3" -v rss="$(field peak_rss_mb <"$tmp/bench")" '
        { t[NR] = $1 / 100 }
        END { printf "%s,%s,1,%d,%.1f,%.1f,%.1f\n", name, cpu, NR, t[1], t[int((NR + 1) / 2)], rss }' \
        "$tmp/times" | tee -a "$tmp/csv"
}

$vise convert $checkpoint "$tmp/deit.vise" --quiet >/dev/null
$vise compress $checkpoint "$tmp/deit8.vise" --pass "quantize weights=int8 acts=int8" --quiet >/dev/null
{
    provenance "bench/first_answer.sh"
    echo 'model,cpu,threads,runs,min_ms,median_ms,peak_rss_mb'
} >"$tmp/csv"
for cpu in auto; do
    row deit_tiny.safetensors $checkpoint $cpu
    row deit_tiny.vise "$tmp/deit.vise" $cpu
    row deit_tiny.int8.vise "$tmp/deit8.vise" $cpu
done
mv "$tmp/csv" $out
