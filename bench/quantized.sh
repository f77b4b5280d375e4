#!/bin/bash
# quantized.sh - what rounding weights and operands does to the answers of the ImageNet checkpoints.
# SPDX-License-Identifier: MIT
#
# Writes bench/results/quantized.csv: correct answers, agreement with f32 and KL of the outputs on the
# evaluation pictures; ranges of acts=static come from the calibration pictures. Needs ../shared/data.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/common.sh

out=bench/results/quantized.csv
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
mkdir -p bench/results

# row NAME MODEL SETTING FILE
row() {
    local line
    line=$($vise eval "$4" --against "$2" --data $data/images/imagenet_eval --json --quiet)
    echo "$1,$3,$(field n <<<"$line"),$(field correct_top1 <<<"$line"),$(field correct_top5 <<<"$line"),$(field \
        agreement <<<"$line"),$(field mean_kl <<<"$line"),$(stat -c %s "$4")" |
        tee -a "$tmp/csv"
}

{
    provenance "bench/quantized.sh"
    echo 'model,pass,n,correct_top1,correct_top5,agreement,mean_kl,file_bytes'
} >"$tmp/csv"
for model in deit_tiny_patch16_224 vit_tiny_patch16_224_augreg; do
    checkpoint=$data/checkpoints/$model/model.safetensors
    $vise convert $checkpoint "$tmp/f32.vise" --quiet >/dev/null
    row $model $checkpoint none "$tmp/f32.vise"
    for pass in "weights=bf16 acts=bf16" "weights=int8 acts=f32" "weights=int8 acts=int8" "weights=int8 acts=static"; do
        calib=()
        [[ $pass != *static ]] || calib=(--calib $data/images/imagenet_calib --calib-count 32)
        $vise compress $checkpoint "$tmp/q.vise" --pass "quantize $pass" "${calib[@]}" --quiet >/dev/null
        row $model $checkpoint "quantize $pass" "$tmp/q.vise"
    done
done
mv "$tmp/csv" $out
