#!/bin/bash
# test.sh [STAGE...] - installs what is missing, then builds and runs all tests through ctest.
# SPDX-License-Identifier: MIT
#
#   release  gcc, warnings are errors; every test in full, and the gates
#   asan     gcc with AddressSanitizer and UndefinedBehaviorSanitizer; every test, at most 4 pictures
#   clang    clang, warnings are errors; every test, at most 16 pictures
#   plain    gcc, plain C kernels only; the tests that compute
#   tsan     gcc with ThreadSanitizer; the tests with threads
#   tidy     clang-tidy
#   onnx     files that vise writes, run by ONNX Runtime; skipped, visibly, where npm cannot install it
#   arm      the AArch64 kernels, by gcc and clang, on emulated processors
#   mutate   some of the bugs of tests/mutations.txt: the kernel checker has to catch each
#
# Without arguments: all stages. One line per stage; a stage that fails shows the end of its log, and
# build/logs/STAGE.log holds all of it. Exit status 1 if a stage failed.
set -euo pipefail
cd "$(dirname "$0")/.."

computing='^test_(kern|ops|actq|graph|session|tape|round|compress|cluster|packed|report)'
threaded='^test_(base|session|tape|fast|params|round|eval|compress)'
data=../shared/data
jobs=$(nproc)
logs=build/logs
failed=()
export ASAN_OPTIONS=strict_string_checks=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1

# stage NAME COMMAND...: runs it with its output in a log, says how it went and how long it took.
stage() {
    local name=$1 start=$SECONDS result=ok
    shift
    printf '%-8s ' "$name"
    "$@" >"$logs/$name.log" 2>&1 </dev/null || result=FAILED
    printf '%-7s %4d s   %s\n' $result $((SECONDS - start)) "$(grep 'tests passed' "$logs/$name.log" || true)"
    [ $result = FAILED ] || return 0
    failed+=("$name")
    sed -E '/^\[[0-9]+\/[0-9]+\] [A-Z]|^-- |Test +#.* Passed|^ +Start +[0-9]+:|^$/d; s/^/    /' \
        "$logs/$name.log" | tail -n 80
}

# CC=compiler configure DIR CMAKE_OPTION...: the compiler counts when DIR is new.
configure() {
    local dir=$1
    shift
    cmake -S . -B "$dir" -G Ninja --log-level=WARNING "$@"
}

# build_and_test DIR CTEST_OPTION...
build_and_test() {
    local dir=$1
    shift
    cmake --build "$dir" -j "$jobs" && check "$dir" "$@"
}

check() {
    local dir=$1
    shift
    ctest --test-dir "$dir" --output-on-failure --no-tests=error -j "$jobs" "$@"
}

# The test programs whose names match PATTERN, for a stage that builds only these.
programs() {
    local source
    for source in tests/test_*.c; do
        source=${source##*/}
        if [[ ${source%.c} =~ $1 ]]; then echo "${source%.c}"; fi
    done
}

run_release() {
    CC=gcc configure build -DVISE_WERROR=ON && build_and_test build
}

run_asan() {
    CC=gcc configure build-asan -DVISE_WERROR=ON -DVISE_SANITIZE=address,undefined &&
        VISE_TEST_QUICK=4 build_and_test build-asan
}

run_clang() {
    CC=clang configure build-clang -DVISE_WERROR=ON &&
        VISE_TEST_QUICK=16 build_and_test build-clang -LE gate
}

run_plain() {
    local targets
    mapfile -t targets < <(programs "$computing")
    CC=gcc configure build-plain -DVISE_WERROR=ON -DVISE_SIMD=OFF &&
        cmake --build build-plain -j "$jobs" --target "${targets[@]}" &&
        VISE_TEST_QUICK=16 check build-plain -R "$computing"
}

run_tsan() {
    local targets alone=()
    mapfile -t targets < <(programs "$threaded")
    # Where addresses are randomised by more bits than the sanitizer knows, they must not be.
    echo 'int main(void) { return 0; }' | gcc -x c -fsanitize=thread - -o "$logs/probe" || return
    if ! "$logs/probe"; then
        alone=(setarch -R)
        if ! setarch -R "$logs/probe"; then
            echo "SKIP: ThreadSanitizer does not run on this kernel"
            return 0
        fi
    fi
    CC=gcc configure build-tsan -DVISE_WERROR=ON -DVISE_SANITIZE=thread &&
        cmake --build build-tsan -j "$jobs" --target "${targets[@]}" &&
        VISE_TEST_QUICK=4 "${alone[@]}" ctest --test-dir build-tsan --output-on-failure \
            --no-tests=error -j "$jobs" -R "$threaded"
}

run_tidy() { scripts/tidy.sh build-clang; }

run_onnx() {
    local status=0
    VISE_PEERS=$(bench/peers/install.sh) || status=$?
    if [ $status -eq 77 ]; then
        echo "SKIP: ONNX Runtime cannot be had here"
        return 0
    fi
    [ $status -eq 0 ] && CC=gcc configure build -DVISE_WERROR=ON &&
        cmake --build build -j "$jobs" --target test_onnx && rm -rf build/onnx &&
        VISE_ONNX_DIR=build/onnx VISE_TEST_QUICK=16 build/tests/test_onnx &&
        VISE_PEERS=$VISE_PEERS node bench/peers/check.mjs build/onnx && rm -r build/onnx
}

run_arm() { scripts/arm.sh || [ $? -eq 77 ]; }

run_mutate() { scripts/mutate.sh --each 2; }

# What the tests did not run: whole programs (exit status 77) and single cases (they print SKIP).
skipped() {
    local name dir
    for name in "${stages[@]}"; do
        dir=build-$name
        [ "$name" != release ] || dir=build
        sed -n "s/^.* Test .*: \([a-z_0-9]*\) [ .]*\*\*\*Skipped.*/$name \1/p; s/^SKIP: /$name &/p" "$logs/$name.log"
        [ -f "$dir/Testing/Temporary/LastTest.log" ] || continue
        awk -v stage="$name" '
            / Testing: / { test = $NF }
            /^\[  SKIPPED \]/ && !/listed below/ && !seen[test $NF]++ { print stage, test, $NF }
            ' "$dir/Testing/Temporary/LastTest.log"
    done
}

no_data() {
    [ -d $data ] && return
    echo "*** $data is missing: every test with real checkpoints and pictures is SKIPPED ***"
}

stages=("$@")
all=(release asan clang plain tsan tidy onnx arm mutate)
[ $# -gt 0 ] || stages=("${all[@]}")
for name in "${stages[@]}"; do
    [[ " ${all[*]} " == *" $name "* ]] || { echo "test.sh: $name is not a stage (${all[*]})" >&2; exit 2; }
done

mkdir -p $logs
no_data
stage setup scripts/setup.sh
for name in "${stages[@]}"; do stage "$name" "run_$name"; done

list=$(skipped)
if [ -n "$list" ]; then printf '\nSkipped:\n%s\n' "$list"; fi
no_data
printf '\n%d s in all.' $SECONDS
if [ ${#failed[@]} -gt 0 ]; then
    printf ' FAILED: %s\n' "${failed[*]}"
    exit 1
fi
printf ' Everything passed.\n'
