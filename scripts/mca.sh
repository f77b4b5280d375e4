#!/bin/bash
# mca.sh - what llvm-mca says of the inner loops of the AArch64 products, as
# bench/results/arm_mca.csv: no ARM machine is needed, and none is measured.
# SPDX-License-Identifier: MIT
#
# The loops are those of the largest tiles, cut out of gcc's and clang's assembly. macs_per_cycle is
# set beside the same model's peak: independent copies of the loop's own multiplying instruction.
# Models are LLVM's: cortex-a55 its own; neoverse-n1 for Cortex-A76, whose core it is (LLVM takes the
# Cortex-A57 for cortex-a76); neoverse-n2 for cores with smmla. They know no caches: operands are in
# L1. N1 and N2 issue what Arm's optimisation guides say: in vectors of 128 bits a cycle, fmla 2,
# sdot 2, smmla 2, smlal 1. A Cortex-A55 has two pipes of 64 bits, so all of these but smmla, which
# it lacks, 1; its model issues fmla at 2, and does not know that a load of 128 bits blocks the core
# for two cycles. Its rows compare loops and promise no time.
set -euo pipefail
. "$(dirname "$0")/common.sh"
use_root

build="build-arm/mca"
target=aarch64-linux-gnu
out=bench/results/arm_mca.csv
"$here/setup.sh" gcc-$target libc6-dev-arm64-cross clang llvm-19
need $target-gcc clang llvm-mca-19
mkdir -p $build

# cycles CPU FILE: of one pass over the instructions, in the steady state.
cycles() {
    llvm-mca-19 -mtriple=$target -mcpu="$1" -mattr=+dotprod,+i8mm -iterations=400 "$2" |
        awk '/^Total Cycles:/ { print $3 / 400 }'
}

# macs FILE: of the instructions in it.
macs() {
    awk '$1 == "fmla" { n += 4 } $1 ~ /^sm(ull|lal)2?$/ { n += 8 }
         $1 == "sdot" { n += 16 } $1 == "smmla" { n += 32 } END { print n + 0 }' "$1"
}

# loops ASSEMBLY PREFIX: the loop of one basic block with the most products, of each function, as
# PREFIX-FUNCTION.s.
loops() {
    awk -v prefix="$2" '
        /^[A-Za-z_][A-Za-z0-9_.]*:/ { name = $1; sub(/:.*/, "", name); label = "" }
        /^\.L[A-Za-z0-9_]*:/ { label = $1; sub(/:.*/, "", label); body = ""; n = 0 }
        /^[^ \t]/ || /^[ \t]*(\.|\/\/|#)/ { next }
        {
            sub(/\/\/.*/, "")
            body = body $0 "\n"
            if ($1 ~ /^(fmla|smull2?|smlal2?|sdot|smmla)$/) n++
            if ($1 ~ /^(b\.?[a-z][a-z]|cbn?z|tbn?z)$/ && $NF == label && n > most[name]) {
                most[name] = n
                loop[name] = body
            }
        }
        END { for (name in loop) printf "%s", loop[name] > (prefix "-" name ".s") }' "$1"
}

# peak FILE NAME: sixteen independent copies of the instruction that makes FILE's products.
peak() {
    local instruction
    instruction=$(awk '$1 ~ /^(fmla|smlal|smlal2|sdot|smmla)$/ { $2 = "v@." substr($2, index($2, ".") + 1)
        for (i = 3; i <= NF; i++) sub(/^v[0-9]+/, "v" 13 + i, $i); print; exit }' "$1")
    for register in {0..15}; do echo "${instruction/@/$register}"; done >"$2"
}

# row LEVEL KERNEL COMPILER CPU FILE
row() {
    local of_peak=$build/peak.s
    peak "$5" $of_peak
    awk -v head="$1,$2,$3,$4" -v cycles="$(cycles "$4" "$5")" -v macs="$(macs "$5")" \
        -v peak_cycles="$(cycles "$4" $of_peak)" -v peak_macs="$(macs $of_peak)" 'BEGIN {
            if (!macs || !cycles || !peak_macs) exit 1
            peak = peak_macs / peak_cycles
            printf "%s,%.1f,%d,%.2f,%.1f,%.2f\n", head, cycles, macs, macs / cycles, peak, macs / cycles / peak
        }'
}

# level NAME KERNELS CPU...
level() {
    local name=$1 kernels=$2 compiler kernel cpu flags
    shift 2
    flags=$(sed -n "s|^ *vise_kernel(src/kern/arm/kern_$name.c *\(.*\))|\1|p" CMakeLists.txt)
    for compiler in gcc clang; do
        # shellcheck disable=SC2086 # lists of options
        ${command[$compiler]} -std=c17 -O3 -ffp-contract=off -Isrc $flags -S \
            "src/kern/arm/kern_$name.c" -o "$build/$name-$compiler.s"
        loops "$build/$name-$compiler.s" "$build/$name-$compiler"
        for kernel in $kernels; do
            for cpu; do
                row "$name" "gemm_$kernel" $compiler "$cpu" "$build/$name-$compiler-tile_$kernel.s"
            done
        done
    done
}

declare -A command=([gcc]=$target-gcc [clang]="clang --target=$target")
commit=$(git rev-parse --short HEAD)
git diff --quiet HEAD -- src/kern CMakeLists.txt || commit="$commit and uncommitted changes"
{
    echo "# command: scripts/mca.sh (what the columns mean stands there)"
    echo "# commit: $commit"
    echo "# tools: $(llvm-mca-19 --version | sed -n 's/^ *Debian \|^ *\(.*LLVM version .*\)/\1/p' | head -1)," \
        "$($target-gcc --version | sed 's/^[^)]*) /gcc /;q'), $(clang --version | sed 's/^Debian //;q')"
    echo level,kernel,compiler,cpu,cycles_per_iteration,macs_per_iteration,macs_per_cycle,peak_macs_per_cycle,share
    level neon "f32 bf16 s8" cortex-a55 neoverse-n1
    level dotprod s8 cortex-a55 neoverse-n1
    level i8mm s8 neoverse-n2
} >$build/mca.csv
mv $build/mca.csv $out
