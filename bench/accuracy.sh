#!/bin/bash
# accuracy.sh - every real ViT checkpoint on its labelled pictures, next to PyTorch's counts.
# SPDX-License-Identifier: MIT
#
# Writes bench/results/accuracy.csv. Needs ../shared/data and build/vise; takes some minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/common.sh

out=bench/results/accuracy.csv
mkdir -p bench/results

# golden KEY NAME: a number of accuracy.json, or nothing.
golden() {
    awk -v key="\"$1\"" -v name="\"$2\"" '
        index($0, key) { in_key = 1 }
        in_key && index($0, name) { gsub(/[^0-9]/, "", $2); print $2; exit }
        in_key && /}/ { exit }' "$data/golden/accuracy.json"
}

# row CHECKPOINT FILE SET KEY
row() {
    local checkpoint=$1 file=$2 set=$3 key=$4 import line
    import_options "$checkpoint"
    line=$($vise eval "$data/checkpoints/$checkpoint/$file" --data "$data/images/$set" --json --quiet "${import[@]}")
    echo "$checkpoint/$file,$set,$(field n <<<"$line"),$(field correct_top1 <<<"$line"),$(golden \
        "$checkpoint/$key" correct_top1),$(field correct_top5 <<<"$line"),$(golden \
        "$checkpoint/$key" correct_top5),$(field images_per_s <<<"$line")" | tee -a $out.new
}

provenance "bench/accuracy.sh" >$out.new
echo 'model,pictures,n,correct_top1,pytorch_top1,correct_top5,pytorch_top5,images_per_s' >>$out.new
for model in deit_tiny_patch16_224 vit_tiny_patch16_224_augreg; do
    for set in imagenet_eval imagenet_calib; do row $model model.safetensors $set $set; done
done
for file in model.safetensors vit.pt; do
    row vit_cifar10_d4_w128 $file cifar10/test.tar cifar10_test_jpeg
done
for file in model.safetensors best_vit_model.pth; do
    row vit_fashionmnist_d6_w128 $file fashion_mnist fashion_mnist_t10k
done
mv $out.new $out
