#!/bin/bash
# kill_train.sh VISE - a training that is killed twenty times ends with the bytes of one that is not.
# SPDX-License-Identifier: MIT
#
# After each SIGKILL, at a random moment, the checkpoint is a whole file of no fewer steps than before,
# the next process goes on from it, and what was being written does not pile up.
set -euo pipefail
LC_ALL=C
vise=$(realpath "$1")
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cd "$tmp"
kills=20 steps=1500 batch=8 count=64
RANDOM=7 # the seed of the moments

fail()
{
    echo "FAIL: $*"
    exit 1
}

# train OUT STEPS: becomes the process that trains; it tells its step after each pass over the set.
train()
{
    exec "$vise" train small.vise "$1" --data scenes:count=$count,size=16 --every 0.02 --threads 1 \
        --set "steps=$2 batch=$batch ema=0.9" --log "$1.csv" --json --quiet
}

ms() { echo $(($(date +%s%N) / 1000000)); }

# timed OUT STEPS: ms that the whole training takes
timed()
{
    local start
    start=$(ms)
    (train "$1" "$2") >"$1.log"
    echo $(($(ms) - start))
}

# Is it a whole file: 8 bytes that say how long the header is, the header, the data of all tensors?
check_whole()
{
    local header data
    header=$(od -An -N8 -tu8 "$1" | tr -d ' ')
    data=$(tail -c +9 "$1" | head -c "$header" | grep -ao '"data_offsets":\[[^]]*' | sed 's/.*,//' | sort -n |
        tail -1)
    [ $((8 + header + data)) -eq "$(stat -c %s "$1")" ] || fail "kill $k: $1 is not whole"
}

# first NAME FILE: the first number under a key, or nothing
first() { (grep -aom1 "\"$1\":\"*[0-9]*" "$2" || true) | head -1 | tr -dc 0-9; }

# What process told first belongs to the pass over the set that begins at the checkpoint.
check_resumed()
{
    local told
    [ -s log ] || return 0 # it was killed before
    told=$(first step log)
    if [ "$seen" -eq $steps ]; then
        [ -z "$told" ] || fail "kill $k: told step $told after the last"
        return 0
    fi
    [[ $told -gt $seen && $told -le $((seen + count / batch)) ]] ||
        fail "kill $k: told step $told first, with a checkpoint of step $seen"
    [ "$seen" -eq 0 ] || resumed=$((resumed + 1))
}

check_checkpoint()
{
    if ! [ -e killed.vise.state ]; then
        [ "$seen" -eq 0 ] || fail "kill $k: there is no checkpoint any more"
        return 0
    fi
    check_whole killed.vise.state
    local step
    step=$(first step killed.vise.state)
    [ -n "$step" ] || fail "kill $k: a checkpoint of no step"
    [ "$step" -ge "$seen" ] || fail "kill $k: a checkpoint of step $step after one of step $seen"
    seen=$step
}

# Kills it $kills times; fails if the training is over before.
kill_often()
{
    local pid status delay
    rm -f killed.*
    seen=0 resumed=0
    for ((k = 1; k <= kills; k++)); do
        (train killed.vise $steps) >log &
        pid=$!
        delay=$((start / 2 + RANDOM % spread))
        sleep "$((delay / 1000)).$(printf %03d $((delay % 1000)))"
        kill -KILL $pid 2>/dev/null || true
        wait $pid 2>/dev/null && return 1
        status=$?
        [ $status -eq 137 ] || fail "kill $k: the process ended by itself, with status $status"
        check_resumed
        check_checkpoint
        [ "$(find . -name '*.vise-part' | wc -l)" -le 2 ] || fail "kill $k: $(ls -A)"
    done
}

"$vise" new vit small.vise --size 16 --patch 4 --dim 32 --depth 2 --heads 2 --classes 10 --quiet >/dev/null
start=$(timed brief.vise 1)
whole=$(timed whole.vise $steps)
spread=$((start + 7 * whole / 100)) # twenty times half of it: most of the training
until kill_often; do
    spread=$((spread / 2))
    [ $spread -gt 10 ] || fail "training takes $whole ms and is over before $kills kills"
done
(train killed.vise $steps) >log || fail "the last process ended with status $?"
check_resumed
[ $resumed -gt 5 ] || fail "$resumed of $kills processes went on from a checkpoint"
cmp whole.vise killed.vise || fail "the models differ"
cmp <(cut -d, -f1 whole.vise.csv) <(cut -d, -f1 killed.vise.csv) || fail "the tables have other steps"

# All steps are done and the model cannot be written: only that is left to do.
mkdir late.vise
! (train late.vise 1) >log 2>&1 || fail "a model took the place of a folder"
rmdir late.vise
(train late.vise 1) >log || fail "a finished training ended with status $?"
[ -z "$(first step log)" ] || fail "a finished training went on: $(cat log)"
cmp brief.vise late.vise || fail "a finished training gave another model"

left=$(find . -name '*.state' -o -name '*.vise-part')
[ -z "$left" ] || fail "left behind: $left"
echo "$kills kills, the last at step $seen of $steps; $resumed processes were seen to go on from a checkpoint"
