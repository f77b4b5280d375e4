#!/bin/bash
# distill.sh [TASK...] - what a teacher is worth: students trained with and without one, on the same budget.
# SPDX-License-Identifier: MIT
#
#   TASK  scenes, cifar10 (default: both)
#
# The student of scenes starts from blocks 0, 2 and 4 of its teacher, that of CIFAR-10 from nothing. Three seeds
# each. none: labels alone. soft: KL to the teacher's probabilities at temperature 2, and labels. token: a
# distillation token with a head of its own that learns the teacher's choice (DeiT). The teachers:
# data/scenes.vise, and a published checkpoint of ../shared/data. Writes bench/results/distill.csv; rows of other
# tasks stay.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/common.sh

tasks=("${@:-scenes}")
[ $# -gt 0 ] || tasks=(scenes cifar10)
out=bench/results/distill.csv
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
options="batch=64 rate=0.001 warmup=0.1 smoothing=0"

# prepare TASK: sets train, test, teacher and the options of vise new.
prepare() {
    case $1 in
    scenes)
        train=scenes:count=60000,seed=11,size=64 test=scenes:count=2000,seed=2,size=64
        teacher=data/scenes.vise
        dims=(--from $teacher --blocks 0,2,4)
        budget="steps=300"
        ;;
    cifar10)
        local import
        train=$data/images/cifar10/train.tar test=$data/images/cifar10/test.tar
        teacher=$tmp/teacher.vise
        import_options vit_cifar10_d4_w128
        $vise convert "$data/checkpoints/vit_cifar10_d4_w128/model.safetensors" "$teacher" "${import[@]}" --quiet >/dev/null
        dims=(--dim 64 --depth 3 --heads 2 --patch 4 --size 32 --classes 10)
        budget="steps=800 pad=4"
        ;;
    *) echo "distill.sh: no task is called $1" >&2; exit 2 ;;
    esac
}

# student SEED VARIANT: prints its right answers of the test set.
student() {
    local token=() how
    [ "$2" != token ] || token=(--distilled)
    $vise new vit "$tmp/new.vise" "${dims[@]}" "${token[@]}" --seed "$1" --quiet >/dev/null
    case $2 in
    none) how= ;;
    soft) how="distill=soft share=0.7 temperature=2" ;;
    token) how="distill=token share=0.5" ;;
    esac
    if [ "$2" = none ]; then
        $vise train "$tmp/new.vise" "$tmp/out.vise" --data "$train" --set "$options $budget" --seed "$1" --quiet >/dev/null
    else
        $vise distill "$teacher" "$tmp/new.vise" "$tmp/out.vise" --data "$train" --set "$options $budget $how" \
            --seed "$1" --quiet >/dev/null
    fi
    $vise eval "$tmp/out.vise" --data "$test" --json --quiet
}

head=$(provenance "bench/distill.sh $*")
columns=task,variant,seed,n,correct_top1,top1,teacher_top1,commit
commit=$(sed -n 's/^# commit: //p' <<<"$head")
for task in "${tasks[@]}"; do
    prepare "$task"
    taught=$($vise eval "$teacher" --data "$test" --json --quiet | field top1)
    for seed in 1 2 3; do
        for variant in none soft token; do
            line=$(student $seed $variant)
            row="$task,$variant,$seed,$(field n <<<"$line"),$(field correct_top1 <<<"$line"),$(field top1 <<<"$line"),$taught,$commit"
            echo "$row"
            { [ ! -f $out ] || grep -v "^#\|^task,\|^$task,$variant,$seed," $out || true; echo "$row"; } >"$tmp/rows"
            { echo "$head"; echo $columns; sort "$tmp/rows"; } >$out
        done
    done
done
awk -F, '!/^#/ && $1 != "task" { k = $1 " " $2; n[k]++; s[k] += $6; q[k] += $6 * $6 }
    END { for (k in n) { m = s[k] / n[k]; printf "%s: %.2f %% +- %.2f\n", k, 100 * m, 100 * sqrt((q[k] / n[k] - m * m) * n[k] / (n[k] > 1 ? n[k] - 1 : 1)) } }' $out | sort
