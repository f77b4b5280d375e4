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
    model=data/scenes.vise images=scenes:count=1000,seed=2,size=64
    calib=(--calib 'scenes:count=256,seed=3,size=64' --calib-count 256)
    ;;
2)
    model=$(cd "$start" && realpath -m "$1")
    images=$(cd "$start" && realpath -m "$2")
    calib=() # what is measured must not be calibrated with
    ;;
*) model='' images='' calib=() ;;
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

# smaller NAME PASS...: $work/NAME.vise
smaller() {
    local name=$1 passes=() pass
    shift
    for pass; do passes+=(--pass "$pass"); done
    show $vise compress "$work/f32.vise" "$work/$name.vise" "${passes[@]}" "${calib[@]}" --quiet
}

heading "The model"
show $vise info "$model" | sed -n '1,14p'
$vise convert "$model" "$work/f32.vise" --quiet

if [ $# -gt 0 ]; then
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
smaller int8 quantize
if [ $# -eq 0 ]; then
    smaller int4 "quantize weights=int4 ends=same"
    smaller int3 "quantize weights=int3 ends=same"
    smaller k64 "cluster k=64"
    smaller w3a3 "quantize weights=int3 acts=static3 ends=same"
    heading "Repaired: blocks trained without labels; then all of it taught by the original"
    smaller w3a3r "quantize weights=int3 acts=static3 ends=same" "repair epochs=5 scales=10"
    show $vise distill "$work/f32.vise" "$work/w3a3r.vise" "$work/w3a3d.vise" --data scenes:count=20000,seed=1,size=64 \
        --set "steps=150 batch=64 rate=0.0005 scales=10 share=1 temperature=1 codes=stay" --quiet
fi

heading "Measured, on pictures that none of them was made with"
row f32 "the original"
row int8 "8 bits"
if [ $# -eq 0 ]; then
    row int4 "4 bits"
    row int3 "3 bits"
    row k64 "64 centroids"
    row w3a3 "3 bits, operands too"
    row w3a3r "the same, blocks repaired"
    row w3a3d "the same, repaired and taught"
fi
awk -F'|' 'BEGIN { printf "%-34s %9s %7s %8s %8s %8s %8s\n", "", "bytes", "right", "as orig.", "mean KL", "ms", "orig. ms" }
    { split($6, ms, " "); printf "%-34s %9d %6.1f%% %7.1f%% %8.4f %8.3f %8.3f\n", $1, $2, 100 * $3, 100 * $4, $5, ms[1], ms[2] }' "$work/rows"
awk -f scripts/demo.awk "$work/rows" >$report
printf '\nThe same as a page with a picture: %s\n' "$report"
