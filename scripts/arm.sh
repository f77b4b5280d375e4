#!/bin/bash
# arm.sh - the AArch64 kernels on any Debian machine: every level, held against the definitions by
# the kernel checker, and whole networks of integers, whose logits have to have the bits that they
# have on x86, on emulated processors with and without each instruction set.
# SPDX-License-Identifier: MIT
#
# base, kern, graph (less its JSON), exec and the list of tensors need no library, so a cross compiler is enough. gcc and clang
# both build them with the project's warnings as errors, with the flags that CMakeLists.txt names.
set -euo pipefail
. "$(dirname "$0")/common.sh"
use_root

build="build-arm"
target=aarch64-linux-gnu
"$here/setup.sh" gcc-$target libc6-dev-arm64-cross qemu-user clang
need $target-gcc clang qemu-aarch64

# What comes with every file: the warnings and options of the first add_compile_options.
common=$(sed -n '/^add_compile_options(/,/)/p;/^add_compile_options(/,/)/{/)/q}' CMakeLists.txt |
    grep -o -- '-[A-Za-z][^ )]*' | grep -v '\$')
[ -n "$common" ]
common="-std=c17 -O2 -Werror -DVISE_ARM=1 -D_POSIX_C_SOURCE=200809L -Iinclude -Isrc -Itests ${common//$'\n'/ }"

# flags FILE: what CMakeLists.txt adds for an instruction set.
flags() {
    case $1 in src/kern/arm/*) ;; *) return ;; esac
    local found
    found=$(grep "^ *vise_kernel($1[ )]" CMakeLists.txt) || {
        echo "arm.sh: CMakeLists.txt has no line for $1" >&2
        return 1
    }
    found=${found#*"$1"}
    echo "-O3 ${found%)}"
}

# program NAME COMPILER...: builds $build/NAME/arm_check.
program() {
    local name=$1 source extra pid pids=()
    shift
    mkdir -p "$build/$name"
    for source in src/base/*.c src/kern/*.c src/kern/arm/*.c src/graph/*.c src/graph/ops/*.c \
        src/exec/*.c src/exec/steps/*.c src/model/tensors.c tests/arm_check.c; do
        case $source in src/graph/attr_json.c) continue ;; esac
        extra=$(flags "$source")
        # shellcheck disable=SC2086 # lists of options
        "$@" $common $extra -c "$source" -o "$build/$name/${source//\//-}.o" &
        pids+=($!)
        while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n || true; done
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    "$@" -static "$build/$name"/*.o -o "$build/$name/arm_check" -lm -pthread
}

# run NAME CPU LEVEL [KERNEL...]
run() {
    local log=$build/$1-$2.log
    if qemu-aarch64 -cpu "$2" "$build/$1/arm_check" "${@:3}" >"$log" 2>&1; then
        echo "arm.sh: $1, $2: $(grep -c '^ok' "$log") checks up to $3 in order"
        return
    fi
    grep -v '^ok' "$log"
    echo "arm.sh: $1, $2: failed"
    return 1
}

rm -rf "$build"
program gcc $target-gcc
program clang clang --target=$target

dotprod=cortex-a76
case $(qemu-aarch64 -cpu help) in *$dotprod*) ;; *) dotprod=neoverse-n1 ;; esac
pids=()
run gcc cortex-a53 neon & pids+=($!)
run gcc $dotprod dotprod gemm_s8 pack_s8 gemm_codes expand & pids+=($!)
run gcc max i8mm gemm_s8 pack_s8 gemm_codes expand & pids+=($!)
run clang max i8mm & pids+=($!)
result=0
for pid in "${pids[@]}"; do wait "$pid" || result=1; done
exit $result
