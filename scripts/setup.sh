#!/bin/bash
# setup.sh [PACKAGE...] - installs what building and testing vise needs on Debian, or the packages
# named; silent when nothing is missing.
# SPDX-License-Identifier: MIT
set -euo pipefail

# Compilers and tools; the libraries that decode pictures and archives, read JSON, write ONNX and solve
# equations; the tests.
packages=(
    gcc g++ libc6-dev clang libclang-rt-dev cmake ninja-build pkg-config
    libjansson-dev libzip-dev libarchive-dev libjpeg-dev libpng-dev libwebp-dev libexif-dev zlib1g-dev
    libprotobuf-c-dev protobuf-c-compiler libopenblas0-pthread
    libcmocka-dev clang-format clang-tidy
)
[ $# -eq 0 ] || packages=("$@")

if ! command -v apt-get dpkg-query >/dev/null; then
    echo "setup.sh: this is not Debian; the build needs what these packages hold: ${packages[*]}" >&2
    exit 0
fi

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=(env)
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "setup.sh: installing ${missing[*]} takes root or sudo, and this user has neither." >&2
        exit 1
    fi
    as_root=(sudo env)
fi
apt=("${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)

echo "setup.sh: installing ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null; then
    tail -20 "$log" >&2
    echo "setup.sh: apt-get could not install ${missing[*]}" >&2
    exit 1
fi
