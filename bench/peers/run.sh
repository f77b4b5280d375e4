#!/bin/bash
# run.sh [OPTION]... - vise and ONNX Runtime on the same networks, side by side on this machine.
# SPDX-License-Identifier: MIT
#
#   --models "..."      of deit_tiny deit_small vit_base (default: all)
#   --precisions "..."  of f32 rows static (default: all); rows and static are 8 bits
#   --threads "..."     default "1 2"
#   --batches "..."     default "1 8"
#   --rounds N          rounds of both systems in turns (default 5)
#   --no-amx            both without AMX, as on processors that have none
#
# Writes bench/results/peers.csv, or peers_noamx.csv, and prints the ratios. ONNX Runtime gets the best
# configuration of those in configs(), found by timing them all first. Of a round a process of one
# system follows one of the other. Needs build/vise, node and npm; static also ../shared/data.
set -euo pipefail
cd "$(dirname "$0")/../.."
. bench/common.sh

models="deit_tiny deit_small vit_base" precisions="f32 rows static" threads="1 2" batches="1 8" rounds=5
out=bench/results/peers.csv alone=()
command="bench/peers/run.sh $*"
while [ $# -gt 0 ]; do
    case $1 in
    --models) models=$2; shift ;;
    --precisions) precisions=$2; shift ;;
    --threads) threads=$2; shift ;;
    --batches) batches=$2; shift ;;
    --rounds) rounds=$2; shift ;;
    --no-amx) out=bench/results/peers_noamx.csv alone=(noamx) ;;
    *) sed -n '5,12s/^# *//p' "$0" >&2; exit 2 ;;
    esac
    shift
done

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
VISE_PEERS=$(bench/peers/install.sh)
export VISE_PEERS
if [ ${#alone[@]} -gt 0 ]; then
    cc -O2 -o "$tmp/noamx" bench/peers/noamx.c
    alone=("$tmp/noamx")
fi
vise_() { "${alone[@]}" "$vise" "$@"; }
ort_time() { "${alone[@]}" node bench/peers/time.mjs "$@"; }

published() { case $1 in vit_base) echo vit_base_patch16_224 ;; *) echo "$1"_patch16_224 ;; esac; }

# runs_of MODEL BATCH: so many that a round takes about a second.
runs_of() {
    local n
    case $1 in *tiny) n=40 ;; *small) n=15 ;; *) n=5 ;; esac
    [ "$2" -eq 1 ] || n=$((n * 2 / $2))
    echo $((n < 3 ? 3 : n))
}

# prepare MODEL PRECISION: $tmp/MODEL.PRECISION.vise, and the ONNX files that configs() names. Eight
# bits twice for ONNX Runtime, which is often faster where attention stays f32.
prepare() {
    local base=$tmp/$1.$2 acts=int8 calib=()
    [ -f "$tmp/$1.f32.vise" ] || $vise new "$(published "$1")" "$tmp/$1.f32.vise" --quiet >/dev/null
    if [ "$2" != f32 ]; then
        [ "$2" = rows ] || acts=static calib=(--calib $data/images/imagenet_calib --calib-count 8)
        for part in "" .attention_f32; do
            $vise compress "$tmp/$1.f32.vise" "$base$part.vise" "${calib[@]}" --quiet \
                --pass "quantize weights=int8 acts=$acts${part:+ skip=*.attn}" >/dev/null
            $vise convert "$base$part.vise" "$base$part.onnx" --quiet >/dev/null
        done
    else
        $vise convert "$base.vise" "$base.onnx" --quiet >/dev/null
    fi
}

# configs MODEL PRECISION: what ONNX Runtime is tried with.
configs() {
    local file
    for file in "$tmp/$1.$2"*.onnx; do
        printf '%s\n' "$file" "$file@MatMulAddFusion" "$file@AttentionFusion;BiasGeluFusion;SkipLayerNormFusion"
    done
}

# best THREADS BATCH CONFIG...: the one with the least time.
best() {
    ort_time "$1" "$2" 9 "${@:3}" |
        sed -E 's/.*"config":"([^"]*)".*"min_ms":([0-9.e+-]+).*/\2 \1/' | sort -g | sed -n '1s/^[^ ]* //p'
}

# summary: of lines "min median": the least, and the middle one of the medians.
summary() {
    sort -g -k 2 | awk '{ m[NR] = $2; if (NR == 1 || $1 < min) min = $1 } END { printf "%.3f,%.3f", min, m[int((NR + 1) / 2)] }'
}

# compare MODEL PRECISION THREADS BATCH: rows of the CSV.
compare() {
    local model=$1 precision=$2 t=$3 b=$4 runs config line name level
    runs=$(runs_of "$model" "$b")
    mapfile -t list < <(configs "$model" "$precision")
    config=$(best "$t" "$b" "${list[@]}")
    : >"$tmp/ort"
    : >"$tmp/vise"
    for _ in $(seq "$rounds"); do
        line=$(ort_time "$t" "$b" "$runs" "$config")
        echo "$(field min_ms <<<"$line") $(field median_ms <<<"$line")" >>"$tmp/ort"
        line=$(vise_ bench "$tmp/$model.$precision.vise" --threads "$t" --batch "$b" --runs "$runs" --json --quiet)
        echo "$(field min_ms <<<"$line") $(field median_ms <<<"$line")" >>"$tmp/vise"
    done
    level=$(sed -E 's/.*"cpu":"([^"]*)".*/\1/' <<<"$line")
    name=${config##*/"$model.$precision"}
    name=${name/.onnx/}
    name=${name/.attention_f32/attention f32 }
    name=${name/@/without }
    name=${name% }
    echo "$model,$precision,$t,$b,onnxruntime,${name:-all optimizers},$(summary <"$tmp/ort")"
    echo "$model,$precision,$t,$b,vise,$level,$(summary <"$tmp/vise")"
}

{
    provenance "$command"
    echo 'model,precision,threads,batch,system,config,min_ms,median_ms'
} >"$tmp/csv"
for model in $models; do
    for precision in $precisions; do
        if [ "$precision" = static ] && [ ! -d $data/images/imagenet_calib ]; then
            echo "run.sh: SKIPPED: static needs $data/images/imagenet_calib" >&2
            continue
        fi
        prepare "$model" "$precision"
        for t in $threads; do
            for b in $batches; do compare "$model" "$precision" "$t" "$b" >>"$tmp/csv"; done
        done
    done
    rm -f "$tmp/$model".*
done
mkdir -p bench/results
cp "$tmp/csv" $out

awk -F, '
    BEGIN { printf "%-11s %-9s %7s %5s %12s %9s %14s %16s\n", "model", "precision", "threads", "batch", "onnxruntime", "vise", "ratio of min", "ratio of median" }
    /^#|^model/ { next }
    $5 == "onnxruntime" { min = $7; median = $8; next }
    { printf "%-11s %-9s %7s %5s %9.2f ms %6.2f ms %14.2f %16.2f\n", $1, $2, $3, $4, min, $7, min / $7, median / $8 }
' "$tmp/csv"
