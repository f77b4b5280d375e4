#!/bin/bash
# repair.sh [--quick] [ROW...] - what training gives back of what few bits cost.
# SPDX-License-Identifier: MIT
#
#   --quick  few pictures and steps; results go to build
#   ROW      MODEL, MODEL/SETTING or MODEL/SETTING/HOW; * stands for anything (default: all)
#
# Models: scenes, which comes with vise, and DeiT-Tiny with pictures of ../shared/data. How: ptq is calibration
# alone; repair: blocks trained to give the original's values, on the calibration pictures, no labels; taught: the
# whole network trained towards the original's probabilities, no labels; both: taught after repair. Of DeiT-Tiny all see
# the 500 calibration pictures and nothing else.
# Writes bench/results/repair.csv; rows that were not asked for stay.
set -euo pipefail
cd "$(dirname "$0")/.."
. bench/common.sh

folder=bench/results limit=0 scale=1
command="bench/repair.sh $*"
if [ "${1:-}" = --quick ]; then
    folder=build limit=200 scale=20
    shift
fi
asked=("${@:-*}")
out=$folder/repair.csv
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

# Lines "MODEL SETTING PASS".
table() {
    cat <<'END'
scenes w4a4 quantize weights=int4 acts=static4 ends=same
scenes w3a3 quantize weights=int3 acts=static3 ends=same
deit w3a8 quantize weights=int3 group=64
deit w4a4 quantize weights=int4 acts=static4 ends=same
END
}

# prepare MODEL: $tmp/f32.vise; calib, learn and test, where pictures are.
prepare() {
    rm -rf "${tmp:?}"/*
    case $1 in
    scenes)
        $vise convert data/scenes.vise "$tmp/f32.vise" --quiet >/dev/null
        calib=scenes:count=512,seed=3,size=64 learn=scenes:count=400000,seed=11,size=64
        test=scenes:count=10000,seed=2,size=64 count=512
        ;;
    deit)
        $vise convert "$data/checkpoints/deit_tiny_patch16_224/model.safetensors" "$tmp/f32.vise" --quiet >/dev/null
        calib=$data/images/imagenet_calib learn=$calib test=$data/images/imagenet_eval count=500
        ;;
    esac
}

# options MODEL SETTING: of repair, and of taught. Codes are learnt from many pictures only.
options() {
    local steps=$((2000 / scale)) five=$((4 / scale + 1)) six=$((5 / scale + 1)) ten=$((9 / scale + 1))
    taught="share=1 temperature=1"
    case $1/$2 in
    scenes/*)
        repair="repair epochs=$ten scales=10"
        taught+=" steps=$steps batch=64 rate=0.001 ema=0.998"
        ;;
    deit/w4a4)
        repair="repair epochs=$five scales=10"
        taught+=" epochs=$six batch=16 rate=0.0002 crop=0.5 flip=0.5 codes=stay"
        ;;
    deit/*)
        repair="repair epochs=$five"
        taught+=" epochs=$six batch=16 rate=0.0001 crop=0.5 flip=0.5 codes=stay"
        ;;
    esac
}

# wanted MODEL SETTING HOW: was it asked for?
wanted() {
    local pattern
    for pattern in "${asked[@]}"; do
        # shellcheck disable=SC2053 # a pattern is meant
        [[ $1 != $pattern && $1/$2 != $pattern && $1/$2/$3 != $pattern ]] || return 0
    done
    return 1
}

# measure MODEL SETTING HOW SECONDS: of $tmp/HOW.vise, a row into $out.
measure() {
    local line row
    line=$($vise eval "$tmp/$3.vise" --against "$tmp/f32.vise" --data "$test" --limit $limit --json --quiet)
    row="$1,$2,$3,$(field n <<<"$line"),$(field correct_top1 <<<"$line"),$(field agreement <<<"$line")"
    row+=",$(field mean_kl <<<"$line"),$(stat -c %s "$tmp/$3.vise"),$4,$commit"
    echo "$row"
    { [ ! -f "$out" ] || grep -v "^#\|^model,\|^$1,$2,$3," "$out" || true; echo "$row"; } >"$tmp/rows"
    { echo "$head"; echo model,setting,how,n,top1,agreement,mean_kl,file_bytes,seconds,commit; sort "$tmp/rows"; } >"$tmp/csv"
    cp "$tmp/csv" "$out"
}

# run HOW INPUT: $tmp/HOW.vise from $tmp/INPUT.vise; sets seconds.
run() {
    local start=${EPOCHREALTIME/,/.}
    case $1 in
    f32) ;;
    ptq) $vise compress "$tmp/f32.vise" "$tmp/ptq.vise" --pass "$pass" --calib "$calib" --calib-count "$count" --quiet ;;
    repair) $vise compress "$tmp/ptq.vise" "$tmp/repair.vise" --original "$tmp/f32.vise" --pass "$repair" \
        --calib "$calib" --calib-count "$count" --quiet ;;
    taught | both) $vise distill "$tmp/f32.vise" "$tmp/$2.vise" "$tmp/$1.vise" --data "$learn" --set "$taught" --quiet ;;
    esac >/dev/null
    seconds=$(awk -v a="$start" -v b="${EPOCHREALTIME/,/.}" 'BEGIN { printf "%.0f", b - a }')
}

head=$(provenance "$command")
commit=$(sed -n 's/^# commit: //p' <<<"$head")
ready=
while read -r model setting pass <&3; do
    hows=(ptq repair taught both)
    any=
    for how in "${hows[@]}"; do ! wanted "$model" "$setting" "$how" || any=1; done
    [ -n "$any" ] || continue
    if [ "$ready" != "$model" ]; then
        prepare "$model"
        measure "$model" f32 f32 0
        ready=$model
    fi
    rm -f "$tmp"/{ptq,repair}.vise
    options "$model" "$setting"
    run ptq f32
    measure "$model" "$setting" ptq "$seconds"
    for how in "${hows[@]:1}"; do
        wanted "$model" "$setting" "$how" || continue
        from=ptq
        [ "$how" != both ] || from=repair
        [ -e "$tmp/$from.vise" ] || run repair ptq
        run "$how" "$from"
        measure "$model" "$setting" "$how" "$seconds"
    done
done 3< <(table)
