# common.sh - what every measurement is stored with
# SPDX-License-Identifier: MIT
# Sourced by the scripts of this folder, which run in the project's root.

data=../shared/data
vise=build/vise

# provenance COMMAND: comment lines for the head of a CSV file.
provenance() {
    local cpu commit
    cpu=$(sed -n '/^model name/{s/.*: //p;q}' /proc/cpuinfo)
    commit=$(git rev-parse --short HEAD)
    git diff --quiet HEAD -- src cli include CMakeLists.txt || commit="$commit and uncommitted changes"
    printf '# command: %s\n# commit: %s\n# machine: %s, %s cores, %s\n' \
        "$1" "$commit" "$cpu" "$(nproc)" "$($vise cpu --json)"
}

# field NAME: the number under a key of the JSON object on stdin.
field() { sed -E "s/.*\"$1\":([-0-9.e]+).*/\1/"; }

# peak LEVEL TYPE: sets p to what one thread of this machine does at most, GOP/s, for a type of product at a CPU
# level; measured once.
declare -A peaks
peak() {
    [ -n "${peaks[$1$2]:-}" ] || peaks[$1$2]=$($vise bench --kernels "$2" --cpu "$1" --runs 3 --json --quiet |
        sed -n 's/.*"peak_gops":\([0-9.]*\).*/\1/p' | sort -g | tail -1)
    p=${peaks[$1$2]}
}

# import_options CHECKPOINT: sets import to what has to be told about a checkpoint without config.json.
import_options() {
    import=(--heads 4 --ln-eps 1e-5 --act gelu --norm pre --crop-pct 1)
    case $1 in
    vit_cifar10_*) import+=(--mean .4914,.4822,.4465 --std .2470,.2435,.2616) ;;
    vit_fashionmnist_*) import+=(--mean .5 --std .5) ;;
    *) import=() ;;
    esac
}
