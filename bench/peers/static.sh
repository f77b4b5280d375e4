#!/bin/bash
# static.sh [N] - do models of static 8 bits answer in ONNX Runtime as they do here?
# SPDX-License-Identifier: MIT
#
# Calibrates the ImageNet checkpoints, writes them as ONNX, and counts both systems' right answers on the first
# N pictures of the evaluation set (default: all). Writes bench/results/onnx_static.csv, with N
# build/onnx_static.csv. Needs build/vise, a C compiler, node, npm and ../shared/data.
set -euo pipefail
cd "$(dirname "$0")/../.."
. bench/common.sh

pass="quantize acts=static"
pictures=${1:-1000000} out=bench/results/onnx_static.csv
[ $# -eq 0 ] || out=build/onnx_static.csv
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
VISE_PEERS=$(bench/peers/install.sh)
export VISE_PEERS
cc -std=c17 -O2 -Iinclude -o "$tmp/answers" bench/peers/answers.c -Lbuild -lvise -Wl,-rpath,"$PWD/build"

# text NAME: the string under a key of the JSON object on stdin.
text() { sed -E "s/.*\"$1\":\"([^\"]*)\".*/\1/"; }

{
    provenance "bench/peers/static.sh $*"
    echo 'checkpoint,pass,n,vise_top1,ort_top1,agreement,vise_bytes,onnx_bytes,runtime'
} >"$tmp/csv"
for model in deit_tiny_patch16_224 vit_tiny_patch16_224_augreg; do
    $vise compress $data/checkpoints/$model/model.safetensors "$tmp/q.vise" --pass "$pass" \
        --calib $data/images/imagenet_calib --calib-count 128 --quiet >/dev/null
    $vise convert "$tmp/q.vise" "$tmp/q.onnx" --quiet >/dev/null
    line=$("$tmp/answers" "$tmp/q.vise" $data/images/imagenet_eval "$pictures" | node bench/peers/count.mjs "$tmp/q.onnx")
    echo "$model,$pass,$(field n <<<"$line"),$(field vise_top1 <<<"$line"),$(field ort_top1 <<<"$line"),$(field \
        agreement <<<"$line"),$(stat -c %s "$tmp/q.vise"),$(stat -c %s "$tmp/q.onnx"),$(text runtime <<<"$line")" |
        tee -a "$tmp/csv"
done
mkdir -p bench/results
cp "$tmp/csv" $out
