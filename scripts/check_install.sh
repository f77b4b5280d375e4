#!/bin/bash
# check_install.sh BUILD_DIR - what `cmake --install` puts somewhere works there, after a move too,
# through pkg-config and through find_package, and knows nothing of the tree it was built in.
# SPDX-License-Identifier: MIT
set -euo pipefail
. "$(dirname "$0")/common.sh"
[ $# -eq 1 ] || { echo "check_install.sh BUILD_DIR"; exit 2; }
need cmake gcc ninja pkg-config readelf
build=$(cd "$1" && pwd)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/first" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
mv "$work/first" "$work/moved"
prefix=$work/moved
cd "$prefix"

found=
bad() { found+="$1"$'\n'; }

library=$(find . -name libvise.so)
[ -n "$library" ] || { echo "libvise.so is not installed"; exit 1; }
lib=$prefix/$(dirname "$library")
version=$(sed -n 's/#define VISE_VERSION "\(.*\)"/\1/p' include/vise.h)
for file in bin/vise include/vise.h; do [ -f $file ] || bad "$file is not installed"; done
for file in "libvise.so.0" "libvise.so.$version" pkgconfig/vise.pc cmake/vise/vise-config.cmake \
    cmake/vise/vise-config-version.cmake; do
    [ -f "$lib/$file" ] || bad "$file is not installed beside libvise.so"
done
readelf -d "$lib/libvise.so" | grep -q 'SONAME.*\[libvise\.so\.0\]' || bad "the soname is not libvise.so.0"
for path in "$root" "$build" "$work/first"; do
    while read -r file; do bad "$file knows the path $path"; done < <(grep -rlF -- "$path/" . || true)
done
bin/vise help >"$work/log" 2>&1 || bad "the installed vise does not run: $(cat "$work/log")"

mkdir "$work/user"
cd "$work/user"
cat >main.c <<'C'
#include <stdio.h>
#include <string.h>
#include <vise.h>
int main(void)
{
    return puts(vise_version()) < 0 || strcmp(vise_version(), VISE_VERSION);
}
C
cat >CMakeLists.txt <<'C'
cmake_minimum_required(VERSION 3.16)
project(user C)
find_package(vise 0.1 REQUIRED)
add_executable(user main.c)
target_link_libraries(user PRIVATE vise::vise)
C
# same WHAT COMMAND...: COMMAND says the version of the header.
same() {
    local what=$1 out
    shift
    out=$("$@" 2>&1) && [ "$out" = "$version" ] || bad "$what: expected version $version, got: $out"
}
with_pkg_config() {
    local flags
    flags=$(PKG_CONFIG_PATH=$lib/pkgconfig pkg-config --cflags --libs vise) || return
    # shellcheck disable=SC2086 # the flags are words
    gcc main.c $flags "-Wl,-rpath,$lib" -o by_pkg_config && ./by_pkg_config
}
with_cmake() {
    cmake -S . -B build -G Ninja --log-level=WARNING -DCMAKE_PREFIX_PATH="$prefix" >log 2>&1 &&
        cmake --build build >>log 2>&1 || { cat log; return 1; }
    build/user
}
same pkg-config with_pkg_config
same find_package with_cmake
same "pkg-config's version" env "PKG_CONFIG_PATH=$lib/pkgconfig" pkg-config --modversion vise
done_checking "${found%$'\n'}"
