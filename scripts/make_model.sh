#!/bin/bash
# make_model.sh [OUT] - trains the model that comes with vise, as it was trained, from nothing: data/scenes.vise and the
# log of its training, data/scenes.csv. Some 20 minutes on two cores; stopped, it goes on where it was.
# SPDX-License-Identifier: MIT
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-data/scenes.vise}
work=build/scenes
vise=build/vise
mkdir -p $work

$vise new vit $work/new.vise --dim 96 --depth 5 --heads 3 --patch 8 --size 64 --classes 10
$vise train $work/new.vise $work/f32.vise --recipe data/scenes.recipe --data scenes:seed=1,count=500000,size=64 \
    --test scenes:seed=2,count=1000,size=64 --log "${out%.vise}.csv"
rm -rf $work/few
$vise data scenes $work/few --count 10 --size 16 --quiet # for the names of its classes
$vise convert $work/f32.vise $work/named.vise --class-names $work/few/classes.txt --quiet
$vise compress $work/named.vise "$out" --pass "quantize weights=f16 acts=f32"
$vise eval "$out" --data scenes:seed=2,count=10000,size=64
