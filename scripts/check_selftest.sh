#!/bin/bash
# check_selftest.sh - each gate accepts a small clean tree and catches each fault planted in it.
# SPDX-License-Identifier: MIT
set -euo pipefail
. "$(dirname "$0")/common.sh"
need gcc g++ clang clang++ clang-format nm

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tree=$work/tree checks=0 failed=0

clean_tree() {
    rm -rf "$tree"
    mkdir -p "$tree"/{include,src/base,src/graph,src/kern,cli}
    cp "$root/.clang-format" "$tree"
    cat >"$tree/include/vise.h" <<'C'
/* vise.h - a header.
 *
 * SPDX-License-Identifier: MIT */
#ifndef VISE_H
#define VISE_H
#define VISE_API __attribute__((visibility("default")))
VISE_API int vise_one(void);       // returns 1
VISE_API const char *vise_text(int n, // number; odd
                               int m);
#endif
C
    cat >"$tree/src/base/one.c" <<'C'
/* one.c - a source with strcpy() in a comment and setjmp in a string.
 *
 * SPDX-License-Identifier: MIT */
#include "vise.h"

int vise_one(void)
{
    return 1;
}

const char *vise_text(int n, int m)
{
    return n == m ? "setjmp(), strcpy() \" sprintf()" : ""; // gets()
}
C
    printf '/* g.h - a header.\n *\n * SPDX-License-Identifier: MIT */\n' >"$tree/src/graph/g.h"
    printf '/* main.c - a command.\n *\n * SPDX-License-Identifier: MIT */\n#include "vise.h"\n' \
        >"$tree/cli/main.c"
    (cd "$tree" && c_files | xargs -0 clang-format -i)
}

# expect STATUS TEXT COMMAND...: COMMAND ends with STATUS and says TEXT.
expect() {
    local want=$1 text=$2 got=0 out
    shift 2
    checks=$((checks + 1))
    out=$("$@" 2>&1) || got=$?
    [ "$got" = "$want" ] && [[ $out == *"$text"* ]] && return
    failed=$((failed + 1))
    printf 'FAIL %s: exit status %s, expected %s and "%s"\n%s\n' "$*" "$got" "$want" "$text" "$out"
}

gate() { bash "$here/check_$1.sh" "$tree"; }
in_base() { printf '%b\n' "$1" >>"$tree/src/base/one.c"; }
lines() { for ((i = 0; i < $1; i++)); do echo "$2"; done; }

# plant GATE TEXT COMMAND...: COMMAND puts a fault into a clean tree; GATE must find it and say TEXT.
plant() {
    local gate=$1 text=$2
    shift 2
    clean_tree
    "$@"
    expect 1 "$text" gate "$gate"
}

clean_tree
for name in includes limits format header; do expect 0 '' gate "$name"; done

plant includes 'one.c:15: base includes graph/g.h' in_base '#include "graph/g.h"'
plant includes 'graph comes later' in_base ' #  include "graph/g.h"'
plant includes 'write "module/' in_base '#include "one.h"'
plant includes 'write "module/' in_base '#include "base/../graph/g.h"'
plant includes 'extra/x.h is not in a module' in_base '#include "extra/x.h"'
plant includes 'src/extra is not a module' cp -r "$tree/src/base" "$tree/src/extra"
plant includes 'the command includes base/one.h' sed -i '$a #include "base/one.h"' "$tree/cli/main.c"
plant includes 'codecs belong to data' in_base '#include <png.h>'
plant includes 'no file was checked' rm -r "$tree/src" "$tree/cli"

plant limits 'a function of 61 lines' in_base "int vise_f(void)\n{\n$(lines 58 '    ;')\n}"
plant limits '814 lines, at most 800' in_base "$(lines 800 '//')"
plant limits 'lines, at most 520' sed -i "\$a $(printf '//\\n%.0s' {1..520})" "$tree/include/vise.h"
plant limits '7 parameters' in_base 'int f(int a, int b, int c, int d, int e, int f,\n  int g)\n{\n}'
plant limits 'strcpy is banned' in_base 'int f(void)\n{\n    strcpy(a, b);\n}'
plant limits 'atoi is banned' in_base 'int f(void)\n{\n    g("//", atoi(b));\n}'
plant limits 'setjmp is banned' in_base 'int f(void)\n{\n    return setjmp(x);\n}'
plant limits 'unfinished' in_base '// TO''DO: later'
plant limits 'the first line is not' sed -i '1s/one.c/two.c/' "$tree/src/base/one.c"
plant limits 'no SPDX-License-Identifier' sed -i 's/SPDX//' "$tree/src/base/one.c"
plant limits 'without "}" in column 0' in_base 'int f(void)\n{\n    ;'
plant limits 'no function was checked' rm -r "$tree/src" "$tree/cli"
clean_tree
in_base "int vise_f(void (*g)(int a, int b), int b, int c, int d, int e, int f, vise_err *e)\n{\n$(lines 57 '    ;')\n}"
expect 0 '' gate limits # exactly 60 lines, 6 parameters and a vise_err

plant format 'should be clang-formatted' in_base 'int f(void)\n{\n   return 1;\n}'
plant header 'size_t' sed -i 's/int n,/size_t n,/' "$tree/include/vise.h"
plant header 'not clean with g++' sed -i 's/int n,/int new,/' "$tree/include/vise.h"

# symbols C [SED]: the gate on a library with C added to its one object, built from a source that
# SED changed, so that it may differ from the header.
symbols() {
    clean_tree
    in_base "$1"
    sed -i "${2:-}" "$tree/src/base/one.c"
    (cd "$tree" && gcc -fPIC -fvisibility=hidden -Iinclude -c src/base/one.c -o one.o &&
        gcc -shared one.o -o libvise.so) || return 9
    bash "$here/check_symbols.sh" "$tree/libvise.so" "$tree/include/vise.h" "$tree/one.o"
}
expect 0 '' symbols 'int vise_inner(void)\n{\n    return 2;\n}'
expect 1 'not VISE_API in vise.h: vise_inner' symbols 'VISE_API int vise_inner;'
expect 1 'without vise_: one.o: inner' symbols 'int inner;'
expect 1 'but not exported: vise_one' symbols '' 's/^int vise_one/int vise_uno/'

echo "$checks checks of the gates, $failed failed"
[ "$checks" -gt 0 ] && [ "$failed" -eq 0 ]
