#!/bin/bash
# install.sh - prints the folder that holds ONNX Runtime for Node, after installing it from npm if need be.
# SPDX-License-Identifier: MIT
#
# The folder is $VISE_PEERS, or one in the user's cache. Exit status 77: it is not there and cannot be
# had, with one line on stderr that says why.
set -euo pipefail

version=1.30.0
peers=${VISE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/vise/onnxruntime-$version}
skip() { echo "install.sh: $1" >&2; exit 77; }

command -v node npm >/dev/null || skip "ONNX Runtime needs node and npm"
if [ ! -f "$peers/complete" ]; then
    mkdir -p "$peers"
    echo '{ "private": true }' >"$peers/package.json"
    # its own scripts would fetch libraries for graphics processors
    npm install --prefix "$peers" --ignore-scripts --no-audit --no-fund --fetch-retries 1 \
        "onnxruntime-node@$version" >"$peers/npm.log" 2>&1 ||
        skip "npm cannot install onnxruntime-node $version, see $peers/npm.log"
    # of 290 MB, what is for other systems
    find "$peers/node_modules/onnxruntime-node/bin" -mindepth 2 -maxdepth 2 ! -name linux -exec rm -r {} +
    : >"$peers/complete"
fi
echo "$peers"
