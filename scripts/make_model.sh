#!/bin/bash
# make_model.sh [OUT] - trains the model that comes with vise, as it was trained, from nothing: data/scenes.vise and the
# logs of its training, data/scenes.csv and scenes2.csv. Some 35 minutes on two cores; stopped, it goes on where it was.
# SPDX-License-Identifier: MIT
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-data/scenes.vise}
logs=${out%.vise}
work=build/scenes
vise=build/vise
test=scenes:seed=2,count=1000,size=64
mkdir -p $work

$vise new vit $work/new.vise --dim 96 --depth 5 --heads 3 --patch 8 --size 64 --classes 10
[ -e $work/first.vise ] || $vise train $work/new.vise $work/first.vise --recipe data/scenes.recipe \
    --data scenes:seed=1,count=500000,size=64 --test $test --log "$logs.csv"
[ -e $work/second.vise ] || $vise train $work/first.vise $work/second.vise --recipe data/scenes2.recipe \
    --data scenes:seed=4,count=400000,size=64 --test $test --log "${logs}2.csv"
rm -rf $work/few
$vise data scenes $work/few --count 10 --size 16 --quiet # for the names of its classes
$vise convert $work/second.vise $work/named.vise --class-names $work/few/classes.txt --quiet
$vise compress $work/named.vise "$out" --pass "quantize weights=f16 acts=f32"
$vise eval "$out" --data scenes:seed=2,count=10000,size=64
