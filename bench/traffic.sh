#!/bin/bash
# traffic.sh [--check] [DEVICE...] - what DeiT-Tiny in floats, bytes and clusters costs on devices that are not here:
# memory traffic, time and energy, modelled.
# SPDX-License-Identifier: MIT
#
#   --check  counts instead, by valgrind's cachegrind, what a real run with the first device's caches fetches: the
#            lines of one image more (half an hour); to bench/results/traffic_check.csv
#   DEVICE   names of data/devices.json (default: all)
#
# Writes bench/results/traffic.csv. Needs ../shared/data, and valgrind for --check.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/common.sh

command="bench/traffic.sh $*"
check=
[ "${1:-}" != --check ] || { check=1; shift; }
devices=("$@")
[ $# -gt 0 ] || mapfile -t devices < <(grep -o '"name": *"[^"]*"' data/devices.json | cut -d'"' -f4)
out=bench/results/traffic.csv
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

$vise convert $data/checkpoints/deit_tiny_patch16_224/model.safetensors "$tmp/f32.vise" --quiet >/dev/null
while read -r name pass; do
    $vise compress "$tmp/f32.vise" "$tmp/$name.vise" --pass "$pass" --quiet >/dev/null
done <<'END'
int8 quantize method=nearest
k64_f32 cluster k=64 acts=f32 method=kmeans
k64_int8 cluster k=64 method=kmeans
END

# of MODEL DEVICE KEY...: numbers of the whole run
of() {
    local line key
    line=$($vise profile "$tmp/$1.vise" --device "$2" --cpu avx2 --threads 1 --json | tail -n 1)
    for key in "${@:3}"; do field "$key" <<<"$line"; done | paste -sd,
}

if [ -z "$check" ]; then
    {
        provenance "$command"
        echo "model,device,bytes_from_dram,bytes_to_dram,bytes_of_weights,ms,mj,mj_macs,mj_caches,mj_dram,mj_idle"
        for device in "${devices[@]}"; do
            for model in f32 int8 k64_f32 k64_int8; do
                echo "$model,$device,$(of $model "$device" bytes_from_dram bytes_to_dram bytes_of_weights ms mj mj_macs \
                    mj_caches mj_dram mj_idle)"
            done
        done
    } >"$tmp/csv"
    cp "$tmp/csv" $out
    cat $out
    exit 0
fi

# lines MODEL RUNS: lines that the last cache fetches in a process that runs it so often
lines() {
    valgrind --tool=cachegrind --cache-sim=yes --D1="$l1" --I1="$l1" --LL="$llc" --cachegrind-out-file=/dev/null \
        $vise bench "$tmp/$1.vise" --threads 1 --cpu avx2 --warmup 0 --runs "$2" --cache "${llc%%,*}" --quiet 2>&1 |
        sed -n 's/.*LLd misses: *\([0-9,]*\) .*/\1/p' | tr -d , | sort -n | tail -n 1 # of two processes, that which runs
}

# size DEVICE CACHE: as cachegrind wants it
size() {
    awk -v name="\"$1\"" -v cache="$2" '/"name"/ { on = index($0, name) }
        on && index($0, "\"" cache "_kb\"") { kb = 1 } on && index($0, "\"" cache "_ways\"") { ways = 1 }
        on && /"line":/ { l = 1 }
        /"value"/ { gsub(/[^0-9.]/, ""); if (kb == 1) { size = $0 * 1024; kb = 2 } if (ways == 1) { w = $0; ways = 2 }
            if (l == 1) { line = $0; l = 2 } }
        END { printf "%d,%d,%d", size, w, line }' data/devices.json
}

device=${devices[0]}
l1=$(size "$device" l1) llc=$(size "$device" llc)
{
    provenance "$command"
    echo "model,device,cachegrind_bytes,simulated_bytes,ratio"
    for model in k64_int8 f32; do
        fetched=$((64 * ($(lines $model 2) - $(lines $model 1))))
        simulated=$(of $model "$device" bytes_from_dram)
        echo "$model,$device,$fetched,$simulated,$(awk -v a="$simulated" -v b=$fetched 'BEGIN { printf "%.3f", a / b }')"
    done
} >"$tmp/check"
cp "$tmp/check" bench/results/traffic_check.csv
cat bench/results/traffic_check.csv
