#!/bin/bash
# speed.sh [RUNS] - f32, bf16 and 8 bits of the DeiT-Tiny, DeiT-Small and ViT-Base shapes in turns, at this
# machine's best CPU level, at avx2 and at vnni; memory; and where the time goes.
# SPDX-License-Identifier: MIT
#
# Writes bench/results/speed.csv and profile.csv (and a picture of DeiT-Tiny in 8 bits). Models have random
# weights: no kernel looks at the numbers.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/common.sh

runs=${1:-40}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p bench/results
names="f32 bf16 int8"

# rows MODEL THREADS BATCH LEVEL
rows() {
    $vise bench "$tmp/f32.vise" "$tmp/bf16.vise" "$tmp/int8.vise" --threads "$2" --batch "$3" --cpu "$4" \
        --runs "$runs" --json --quiet >"$tmp/rows"
    paste -d' ' <(printf '%s\n' $names) "$tmp/rows" | while read -r type line; do
        echo "$1,$type,$4,$2,$3,$(field min_ms <<<"$line"),$(field median_ms <<<"$line"),$(field peak_rss_mb \
            <<<"$line"),$(field session_mb <<<"$line")"
    done | tee -a "$tmp/speed"
}

# shares MODEL TYPE LEVEL: time of one thread by kind of step, and the least time the products could take.
shares() {
    local line p
    $vise profile "$tmp/$2.vise" --threads 1 --cpu "$3" --runs "$runs" --json --quiet >"$tmp/steps"
    line=$(tail -1 "$tmp/steps")
    peak "$3" "${2/int8/s8}"
    awk -v m="$1" -v t="$2" -v l="$3" -v run="$(field run_ms <<<"$line")" -v macs="$(field macs <<<"$line")" \
        -v g="$(field gemm <<<"$line")" -v a="$(field attention <<<"$line")" -v r="$(field rest <<<"$line")" \
        -v p="$p" 'BEGIN { printf "%s,%s,%s,%.3f,%.3f,%.3f,%.3f,%.1f,%.3f\n", m, t, l, run, g, a, r, p, 2e-6 * macs / p }' |
        tee -a "$tmp/profile"
}

levels=
for level in avx2 vnni; do ! $vise bench --kernels s8 --cpu $level --runs 1 --quiet >/dev/null 2>&1 || levels+=" $level"; done
best=$($vise cpu --json | sed 's/.*"cpu":"\([^"]*\)".*/\1/')
{
    provenance "bench/speed.sh $runs"
    echo 'model,type,cpu,threads,batch,min_ms,median_ms,peak_rss_mb,session_mb'
} >"$tmp/speed"
{
    provenance "bench/speed.sh $runs"
    echo 'model,type,cpu,run_ms,gemm_ms,attention_ms,rest_ms,peak_gops,floor_ms'
} >"$tmp/profile"
for model in deit_tiny deit_small vit_base; do
    $vise new ${model}_patch16_224 "$tmp/f32.vise" --quiet >/dev/null
    $vise compress "$tmp/f32.vise" "$tmp/bf16.vise" --pass "quantize weights=bf16 acts=bf16" --quiet >/dev/null
    $vise compress "$tmp/f32.vise" "$tmp/int8.vise" --pass "quantize weights=int8 acts=int8" --quiet >/dev/null
    for threads in 1 2; do
        for batch in 1 8; do rows $model $threads $batch "$best"; done
    done
    for level in $levels; do
        [ "$level" = "$best" ] || rows $model 1 1 "$level"
    done
    for type in $names; do shares $model "$type" "$best"; done
    [[ $levels != *vnni* ]] || shares $model int8 vnni
    [ $model != deit_tiny ] || $vise profile "$tmp/int8.vise" --threads 1 --runs "$runs" --quiet \
        --svg "$tmp/profile.svg" >/dev/null
done
mv "$tmp/speed" bench/results/speed.csv
mv "$tmp/profile" bench/results/profile.csv
mv "$tmp/profile.svg" bench/results/profile_deit_tiny_int8.svg
