#!/bin/bash
# demo.sh [MODEL IMAGES] - installs what is missing, builds vise and shows its main job: a model in,
# smaller and faster ones out, with their answers, sizes and speed measured.
# SPDX-License-Identifier: MIT
#
# Without arguments: the model that comes with vise (data/scenes.vise) on pictures that vise draws itself.
# With a checkpoint and a folder of pictures: these.
set -euo pipefail

start=$PWD
cd "$(dirname "$0")/.."
case $# in
0)
    model=data/scenes.vise images=scenes:count=1000,seed=2,size=64 calib=scenes:count=256,seed=3,size=64
    learn=scenes:count=20000,seed=1,size=64
    ;;
2)
    model=$(cd "$start" && realpath -m "$1")
    images=$(cd "$start" && realpath -m "$2")
    calib=$images learn=
    ;;
*) model= images= calib= learn= ;;
esac
if [ ! -e "$model" ] || { [ $# -gt 0 ] && [ ! -d "$images" ]; }; then
    echo "demo.sh: give it a checkpoint and a folder of images: scripts/demo.sh MODEL IMAGES" >&2
    exit 2
fi

scripts/build.sh
vise=build/vise
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
report=build/demo.html

# show COMMAND...: what is run, then what it says.
show() {
    printf '\n$ %s\n' "$*"
    "$@"
}
heading() { printf '\n== %s\n' "$*"; }

# field NAME: of a line of JSON.
field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^,}\"]*\).*/\1/p"; }

# row NAME TITLE: measures $work/NAME.vise and keeps the line.
row() {
    local line bytes ms
    line=$($vise eval "$work/$1.vise" --against "$work/f32.vise" --data "$images" --limit 1000 --json --quiet)
    bytes=$(stat -c %s "$work/$1.vise")
    ms=$($vise bench "$work/$1.vise" "$work/f32.vise" --threads 1 --runs 30 --json --quiet | field min_ms | paste -sd' ')
    echo "$2|$bytes|$(field top1 <<<"$line")|$(field agreement <<<"$line")|$(field mean_kl <<<"$line")|$ms" >>"$work/rows"
}

heading "The model"
show $vise info "$model" | sed -n '1,14p'
$vise convert "$model" "$work/f32.vise" --quiet

if [ -z "$learn" ]; then
    mapfile -t pictures < <(find "$images" -type f \
        \( -iname '*.jpg' -o -iname '*.jpeg' -o -iname '*.png' -o -iname '*.webp' -o -iname '*.ppm' \) |
        LC_ALL=C sort | sed -n 1,3p)
    if [ ${#pictures[@]} -gt 0 ]; then
        heading "What it sees in ${#pictures[@]} pictures"
        show $vise run "$work/f32.vise" "${pictures[@]}" --top 5
    fi
    if [ ! -f "$images/labels.csv" ] && [ -z "$(find "$images" -mindepth 2 -type f -print -quit)" ]; then
        heading "How fast it is ($images holds neither labels.csv nor a folder per class: no accuracy)"
        show $vise bench "$model" "$work/f32.vise" --quiet
        exit 0
    fi
fi

heading "Made smaller"
compress=("$vise" compress "$work/f32.vise")
show "${compress[@]}" "$work/int8.vise" --pass "quantize" --calib "$calib" --quiet
show "${compress[@]}" "$work/int4.vise" --pass "quantize weights=int4" --calib "$calib" --quiet
show "${compress[@]}" "$work/int3.vise" --pass "quantize weights=int3 group=32" --calib "$calib" --quiet
show "${compress[@]}" "$work/k64.vise" --pass "cluster k=64" --calib "$calib" --quiet
show "${compress[@]}" "$work/k8.vise" --pass "cluster k=8" --calib "$calib" --quiet
if [ -n "$learn" ]; then
    heading "Repaired: blocks trained without labels, then all of it taught by the original"
    show "${compress[@]}" "$work/k8r.vise" --pass "cluster k=8" --pass "repair epochs=5" --calib "$calib" --quiet
    show $vise distill "$work/f32.vise" "$work/k8r.vise" "$work/k8d.vise" --data "$learn" \
        --set "steps=150 batch=64 rate=0.0003 share=1 temperature=1" --quiet
fi

heading "Measured on pictures that none of them has seen: bytes, right answers, answers as the original's, KL, ms, ms of the original"
row f32 "the original"
row int8 "8 bits"
row int4 "4 bits, ends 8"
row int3 "3 bits in groups, ends 8"
row k64 "64 centroids"
row k8 "8 centroids, ends 64"
if [ -n "$learn" ]; then
    row k8r "8 centroids, blocks repaired"
    row k8d "8 centroids, repaired and taught"
fi
awk -F'|' 'BEGIN { printf "%-34s %9s %7s %7s %8s %8s %8s\n", "", "bytes", "right", "agree", "KL", "ms", "(f32)" }
    { split($6, ms, " "); printf "%-34s %9d %6.1f%% %6.1f%% %8.4f %8.3f %8.3f\n", $1, $2, 100 * $3, 100 * $4, $5, ms[1], ms[2] }' "$work/rows"
awk -f scripts/demo.awk "$work/rows" >$report
printf '\nThe same as a page with a picture: %s\n' "$report"
