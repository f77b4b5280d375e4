#!/bin/bash
# mutate.sh [--each N] [FILE...] - plants bugs in the kernels, one at a time, and requires that the kernel
# checker catches each one: proof that its checks can fail.
# SPDX-License-Identifier: MIT
#
# tests/mutations.txt is the table. A bug that is not caught, one whose pattern no longer changes its
# file and one that does not compile are failures. With names of kernel files (kern_c.c) only their
# rows run; with --each N, N rows of each file, spread evenly. Kernels of the other processor family
# run on an emulated one, if its compiler and QEMU are there; rows of a level that a machine lacks are
# skipped, visibly.
set -euo pipefail
. "$(dirname "$0")/common.sh"
use_root

build="build-mutate"
each=10000
if [ "${1:-}" = --each ]; then
    each=${2:?how many rows of each file}
    shift 2
fi
common=$(sed -n '/^add_compile_options(/,/)/p;/^add_compile_options(/,/)/{/)/q}' CMakeLists.txt |
    grep -o -- '-[A-Za-z][^ )]*' | grep -v '[$]')
avx512=$(sed -n 's/^ *set(AVX512 \(.*\))$/\1/p' CMakeLists.txt)
[ -n "$common" ] && [ -n "$avx512" ]
case $(uname -m) in aarch64) native=arm ;; *) native=x86 ;; esac

# cc FAMILY ARGS...: the compiler; emulated programs are static.
cc() {
    if [ "$1" = $native ]; then "${CC:-gcc}" "${@:2}"; else aarch64-linux-gnu-gcc -static "${@:2}"; fi
}

# run FAMILY PROGRAM ARGS...
run() {
    if [ "$1" = $native ]; then "${@:2}"; else qemu-aarch64 -cpu max "${@:2}"; fi
}

# compile FAMILY SOURCE OBJECT [OVERLAY]: with the flags of CMakeLists.txt; a file of the overlay
# stands for the one of the tree.
compile() {
    local line source=$2 extra=() overlay=${4:-}
    case $1 in x86) extra+=(-DVISE_X86=1) ;; *) extra+=(-DVISE_ARM=1) ;; esac
    line=$(grep "^ *vise_kernel($2[ )]" CMakeLists.txt || true)
    if [ -n "$line" ]; then
        line=${line#*"$2"}
        line=${line%)}
        # shellcheck disable=SC2016,SC2206 # CMake's name; a list of options
        extra+=(-O3 ${line/'${AVX512}'/$avx512})
    fi
    if [ -n "$overlay" ] && [ -e "$overlay/$2" ]; then source=$overlay/$2; fi
    # shellcheck disable=SC2086 # a list of options
    cc "$1" -std=c17 -O2 $common -w ${overlay:+"-I$overlay/src"} -Iinclude -Isrc \
        -D_POSIX_C_SOURCE=200809L "${extra[@]}" -c "$source" -o "$3"
}

sources() { ls src/base/*.c src/kern/*.c src/kern/"$1"/*.c tests/mutant.c; }
wait_for_room() { while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n || true; done; }

# whole FAMILY: the program without a bug, which has to find none.
whole() {
    local source dir=$build/$1
    mkdir -p "$dir"
    for source in $(sources "$1"); do
        compile "$1" "$source" "$dir/$(basename "$source" .c).o" &
        wait_for_room
    done
    wait
    cc "$1" "$dir"/*.o -o "$dir/mutant" -lm -pthread
    run "$1" "$dir/mutant" levels | sort -u >"$dir/levels"
    run "$1" "$dir/mutant" all 30
}

level_of() {
    case ${1##*/} in
    finish512.h) echo amx ;;
    codes512.h) echo avx512 ;;
    kern_codes.c | kern_f32_codes.c) echo c ;;
    neon.h) echo neon ;;
    *) basename "$1" | sed 's/^kern_//; s/^fixed_//; s/_gemm//; s/_codes//; s/[.][ch]$//' ;;
    esac
}

family_of() {
    case $1 in src/kern/x86/*) echo x86 ;; src/kern/arm/*) echo arm ;; *) echo $native ;; esac
}

# one ROW KERNEL FILE EDIT: plants the bug and prints what comes of it.
one() {
    local source family dir=$build/row$1 file=$3
    family=$(family_of "$file")
    mkdir -p "$dir/$(dirname "$file")"
    sed -E "$4" "$file" >"$dir/$file"
    if cmp -s "$file" "$dir/$file"; then
        echo "NOT FOUND"
        return
    fi
    cp "$build/$family"/*.o "$dir"
    for source in $(sources "$family"); do
        [ "$source" = "$file" ] || grep -q "/${file##*/}\"" "$source" ||
            { [ "${file##*/}" = avx512.h ] && grep -qE '/(finish|codes)512.h"' "$source"; } || continue
        if ! compile "$family" "$source" "$dir/$(basename "$source" .c).o" "$dir" 2>"$dir/errors"; then
            echo "NOT BUILT $(grep -m 1 error "$dir/errors" | cut -c 1-100)"
            return
        fi
    done
    cc "$family" "$dir"/*.o -o "$dir/mutant" -lm -pthread
    local status=0
    run "$family" "$dir/mutant" "$2" >"$dir/log" 2>/dev/null || status=$?
    case $status in
    0) echo "NOT CAUGHT" ;;
    1) echo "caught" ;;
    *) echo "NOT RUN" ;;
    esac
    rm -rf "$dir"
}

# table: the rows of tests/mutations.txt that --each leaves.
table() {
    awk -F '|' -v each="$each" '
        /^(#|$)/ { next }
        NR == FNR { all[$2]++; next }
        { n = ++seen[$2] }
        all[$2] <= each || int(n * each / all[$2]) > int((n - 1) * each / all[$2])
        ' tests/mutations.txt tests/mutations.txt
}

rm -rf $build
whole $native
emulated=""
for file in "${@:-neon.h}"; do
    if [ $native = x86 ] && [ -e "src/kern/arm/$file" ]; then emulated=arm; fi
done
command -v aarch64-linux-gnu-gcc >/dev/null && command -v qemu-aarch64 >/dev/null || emulated=""
[ -z "$emulated" ] || whole arm

# What is left of the table: number, kernel, file, level, what, edit.
rows=0
skipped=0
while IFS='|' read -r kernel file what edit; do
    if [ $# -gt 0 ] && [[ " $* " != *" ${file##*/} "* ]]; then continue; fi
    family=$(family_of "$file")
    if ! grep -qx "$(level_of "$file")" "$build/$family/levels" 2>/dev/null; then
        echo "SKIP: no $(level_of "$file") for ${file##*/}: $what"
        skipped=$((skipped + 1))
        continue
    fi
    rows=$((rows + 1))
    (printf '%-11s %-16s %-11s %s\n' "$(one $rows "$kernel" "$file" "$edit")" "${file##*/}" "$kernel" "$what" \
        >"$build/result$(printf %04d $rows)") &
    wait_for_room
done < <(table)
wait

[ $rows -gt 0 ] || { echo "mutate.sh: no row was run"; exit 1; }
cat "$build"/result*
caught=$(cat "$build"/result* | grep -c '^caught ' || true)
echo "mutate.sh: $caught of $rows planted bugs were caught, $skipped rows skipped"
[ "$caught" = "$rows" ] || exit 1
rm -rf $build
