#!/bin/bash
# make_teacher.sh [OUT] - grows a larger teacher from the model that comes with vise: its blocks twice, then trained by
# data/teacher.recipe: build/teacher.vise, and the log of its training, data/teacher.csv, or OUT and a log
# beside it. Stopped, it goes on where it was.
# SPDX-License-Identifier: MIT
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-build/teacher.vise}
log=data/teacher.csv
[ $# -eq 0 ] || log=${1%.vise}.csv
vise=build/vise
work=build/scenes
mkdir -p $work

$vise convert data/scenes.vise $work/small.vise --quiet
$vise new vit $work/grown.vise --from $work/small.vise --blocks 0,1,2,3,4,0,1,2,3,4
[ -e "$out" ] || $vise train $work/grown.vise "$out" --recipe data/teacher.recipe \
    --data scenes:seed=6,count=200000,size=64 --test scenes:seed=2,count=1000,size=64 --log "$log"
$vise eval "$out" --data scenes:seed=2,count=10000,size=64
