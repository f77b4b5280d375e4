#!/bin/bash
# fuzz.sh [SECONDS] [READER...] - fuzzes each reader of fuzz/fuzz_READER.c (default: all) for SECONDS
# (default: 60) under ASan and UBSan; what breaks one is left in build-fuzz/.
# SPDX-License-Identifier: MIT
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
[ $# -eq 0 ] || shift
readers=("$@")
if [ $# -eq 0 ]; then
    for source in fuzz/fuzz_*.c; do
        name=${source##*/fuzz_}
        readers+=("${name%.c}")
    done
fi
for reader in "${readers[@]}"; do
    [ -f "fuzz/fuzz_$reader.c" ] || { echo "fuzz.sh: there is no fuzz/fuzz_$reader.c" >&2; exit 2; }
done

scripts/setup.sh
# Plain kernels: readers do not compute, and clang needs minutes for the others under sanitizers.
CC=clang cmake -S . -B build-fuzz -G Ninja --log-level=WARNING -DVISE_FUZZ=ON -DVISE_SIMD=OFF \
    -DVISE_SANITIZE=address,undefined >/dev/null
cmake --build build-fuzz --target "${readers[@]/#/fuzz_}" -- --quiet

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
broken=()
for reader in "${readers[@]}"; do
    mkdir "$work/$reader"
    if [ -d "fuzz/corpus/$reader" ]; then cp -R "fuzz/corpus/$reader/." "$work/$reader"; fi
    if "build-fuzz/tests/fuzz_$reader" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 \
        -print_final_stats=1 -artifact_prefix="build-fuzz/$reader-" "$work/$reader" \
        >"build-fuzz/$reader.log" 2>&1; then
        printf 'ok      %-16s %s runs\n' "$reader" \
            "$(sed -n 's/^stat::number_of_executed_units: *//p' "build-fuzz/$reader.log")"
    else
        printf 'BROKEN  %-16s build-fuzz/%s.log\n' "$reader" "$reader"
        grep -m 3 -E 'ERROR|SUMMARY|Test unit written' "build-fuzz/$reader.log" || tail -5 "build-fuzz/$reader.log"
        broken+=("$reader")
    fi
done
[ ${#broken[@]} -eq 0 ]
