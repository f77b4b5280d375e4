#!/bin/bash
# kernels.sh [RUNS] - every matrix product of ViT-Tiny, -Small and -Base at this machine's CPU levels, as a
# share of the peak measured between the runs.
# SPDX-License-Identifier: MIT
#
# Writes bench/results/kernels.csv.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/common.sh

runs=${1:-60}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p bench/results

{
    provenance "bench/kernels.sh $runs"
    echo 'cpu,type,layer,m,n,k,us,best_gops,median_gops,peak_gops,peak_of'
} >"$tmp/csv"
# Levels that bring a product of their own.
$vise check --list --json --quiet | sed -n 's/.*"kernel":"gemm_\([^"]*\)","level":"\([^"]*\)".*/\2 \1/p' |
    while read -r level type; do
        [ "$level" != c ] || continue
        $vise bench --kernels "$type" --cpu "$level" --runs "$runs" --json --quiet
    done | awk '
        function get(key, v) {
            if (!match($0, "\"" key "\":(\"[^\"]*\"|[^,}]*)")) return ""
            v = substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3)
            gsub(/"/, "", v)
            return v
        }
        {
            print get("cpu") "," get("type") "," get("layer") "," get("m") "," get("n") "," get("k") "," get("us") \
                "," get("best_gops") "," get("median_gops") "," get("peak_gops") "," get("peak_of")
        }' | tee -a "$tmp/csv"
mv "$tmp/csv" bench/results/kernels.csv
