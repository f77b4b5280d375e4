#!/bin/bash
# train.sh [STEPS] [THREADS] - steps of training in f32 and bf16: where their time goes, the share of this
# machine's peak that they reach, and memory, with all values kept or with most computed twice.
# SPDX-License-Identifier: MIT
#
# Writes bench/results/train.csv. Models have random weights and pictures are drawn, so nothing is needed but
# build/vise. The first step is not timed. MACs of a step are three times those of the network, as backward
# multiplies twice what forward does; computing values again is not counted.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/common.sh

steps=${1:-12}
threads=${2:-2}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p bench/results

# train MODEL BATCH STEPS OPTIONS: times of steps in ms, sorted, to $tmp/ms; sets rss to the largest resident
# set in MB.
train() {
    local pid kb=0 now
    $vise train "$1" "$tmp/out.vise" --data "scenes:count=$2,size=224" --every 1000000 --threads "$threads" \
        --set "steps=$(($3 + 1)) batch=$2 $4" --json --quiet >"$tmp/log" &
    pid=$!
    # the kernel's own record of the largest set, read until the process is gone
    while now=$(sed -n '/^VmHWM/s/[^0-9]*\([0-9]*\).*/\1/p' /proc/$pid/status 2>/dev/null) && [ -n "$now" ]; do
        kb=$now
        sleep 0.1
    done
    wait $pid
    rss=$(awk -v kb="$kb" 'BEGIN { printf "%.1f", kb * 1024 / 1e6 }')
    grep '"step":' "$tmp/log" | tail -n +2 | field images_per_s |
        awk -v n="$2" '{ printf "%.1f\n", 1000 * n / $1 }' | sort -g >"$tmp/ms"
}

median() { awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }' "$tmp/ms"; }

# feed BATCH STEPS: sets feed to the ms in which a batch's pictures are drawn and prepared: a step of a network
# with hardly any work.
feed() {
    train "$tmp/none.vise" "$1" "$2" ""
    feed=$(head -1 "$tmp/ms")
}

# row MODEL PRECISION PARTS BATCH STEPS
row() {
    local forward macs
    forward=$($vise bench "$tmp/$1.$2.vise" --threads "$threads" --batch "$4" --runs "$5" --json --quiet |
        field min_ms)
    macs=$($vise info "$tmp/$1.f32.vise" --json | field macs)
    train "$tmp/$1.f32.vise" "$4" "$5" "precision=$2 parts=$3"
    awk -v name="$1,$2,$3,$threads,$4,$5" -v ms="$(head -1 "$tmp/ms")" -v median="$(median)" -v feed="$feed" \
        -v forward="$forward" -v macs="$macs" -v batch="$4" -v peak="$p" -v threads="$threads" -v rss="$rss" 'BEGIN {
            speed = 3e-6 * macs * batch / ms
            all = threads * peak / 2
            printf "%s,%.1f,%.1f,%.1f,%.1f,%.1f,%.1f,%.1f,%.3f,%.1f\n", name, ms, median, feed, forward,
                ms - feed - forward, speed, all, speed / all, rss
        }' | tee -a "$tmp/csv"
}

best=$($vise cpu --json | sed 's/.*"cpu":"\([^"]*\)".*/\1/')
peak "$best" f32
new() { $vise new "$@" --classes 10 --quiet >/dev/null; }
new deit_tiny_patch16_224 "$tmp/none.vise" --patch 112 --dim 16 --depth 1 --heads 1
for model in deit_tiny deit_small; do
    new ${model}_patch16_224 "$tmp/$model.f32.vise"
    $vise compress "$tmp/$model.f32.vise" "$tmp/$model.bf16.vise" --pass "quantize weights=bf16 acts=bf16" \
        --quiet >/dev/null
done
{
    provenance "bench/train.sh $steps $threads"
    echo '# feed, forward: of a batch, each measured alone; rest: backward, losses, optimizer, packing'
    echo '# gmacs_per_s, peak_gmacs: of all threads; the peak is that of f32'
    echo -n 'model,precision,parts,threads,batch,steps,min_ms,median_ms,feed_ms,forward_ms,rest_ms,'
    echo 'gmacs_per_s,peak_gmacs,of_peak,peak_rss_mb'
} >"$tmp/csv"
feed 16 "$steps"
for precision in f32 bf16; do row deit_tiny $precision 0 16 "$steps"; done
feed 32 "$steps"
for parts in 0 12; do row deit_small f32 $parts 32 $(((steps + 3) / 4)); done
mv "$tmp/csv" bench/results/train.csv
