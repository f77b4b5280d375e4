#!/bin/bash
# demo.sh [MODEL IMAGES] - installs what is missing, builds vise and shows its main job: a checkpoint
# in, a .vise file out, its answers, its accuracy and its speed.
# SPDX-License-Identifier: MIT
set -euo pipefail

start=$PWD
cd "$(dirname "$0")/.."
data=../shared/data
names=()
case $# in
0)
    model=$data/checkpoints/deit_tiny_patch16_224
    images=$data/images/imagenet_eval
    if [ -f $data/images/imagenet_classes.txt ]; then
        names=(--class-names $data/images/imagenet_classes.txt)
    fi
    ;;
2)
    model=$(cd "$start" && realpath -m "$1")
    images=$(cd "$start" && realpath -m "$2")
    ;;
*) model= images= ;;
esac
if [ ! -e "$model" ] || [ ! -d "$images" ]; then
    echo "demo.sh: give it a checkpoint and a folder of images: scripts/demo.sh MODEL IMAGES" >&2
    exit 2
fi

scripts/build.sh
vise=build/vise
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# show COMMAND...: what is run, then what it says.
show() {
    printf '\n$ %s\n' "$*"
    "$@"
}
heading() { printf '\n== %s\n' "$*"; }

mapfile -t pictures < <(find "$images" -type f \
    \( -iname '*.jpg' -o -iname '*.jpeg' -o -iname '*.png' -o -iname '*.webp' -o -iname '*.ppm' \) |
    LC_ALL=C sort | sed -n 1,3p)

heading "What is in the checkpoint"
show $vise info "$model" | sed -n '1,26p' # the head, and the layers of the first block
echo "..."

heading "Convert it: one file with weights, graph, class names and the input recipe"
show $vise convert "$model" "$work/demo.vise" "${names[@]}" --quiet

if [ ${#pictures[@]} -gt 0 ]; then
    heading "What it sees in ${#pictures[@]} pictures"
    show $vise run "$work/demo.vise" "${pictures[@]}" --top 5
fi

if [ -f "$images/labels.csv" ] || [ -n "$(find "$images" -mindepth 2 -type f -print -quit)" ]; then
    heading "How often it is right, on 200 of the labelled pictures"
    show $vise eval "$work/demo.vise" --data "$images" --limit 200
else
    heading "No accuracy: $images holds neither labels.csv nor a folder per class"
fi

heading "How fast it is: checkpoint and .vise file, measured side by side"
show $vise bench "$model" "$work/demo.vise" --quiet
