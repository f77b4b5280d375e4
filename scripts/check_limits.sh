#!/bin/bash
# check_limits.sh [ROOT] - sizes, headings and banned functions of every C file.
# SPDX-License-Identifier: MIT
set -euo pipefail
. "$(dirname "$0")/common.sh"
use_root "${1:-}"

# Relies on formatted code: a function is what starts with "{" alone in column 0 and ends with "}"
# alone in column 0; its length counts from its signature. Comments and strings are blanked before
# words are looked for.
found=$(c_files | LC_ALL=C xargs -0 awk '
    function bad(line, text) { printf "%s:%d: %s\n", FILENAME, line, text }
    function finish() {
        if (file == "") return
        max = file ~ /^include\// ? 520 : 800
        if (lines > max) printf "%s:%d: %d lines, at most %d\n", file, lines, lines, max
        if (!spdx) printf "%s:1: no SPDX-License-Identifier\n", file
        if (open) printf "%s:%d: a function without \"}\" in column 0\n", file, open
    }
    # Blanks comments, strings and characters; in_comment lives from line to line.
    function code(s,    out, i, c, two, quote) {
        for (i = 1; i <= length(s); i++) {
            c = substr(s, i, 1)
            two = substr(s, i, 2)
            if (in_comment) {
                if (two == "*/") { in_comment = 0; i++ }
            } else if (quote != "") {
                if (c == "\\") i++
                else if (c == quote) quote = ""
            } else if (two == "/*") { in_comment = 1; i++ }
            else if (two == "//") break
            else if (c == "\"" || c == "\047") { quote = c; out = out " " }
            else out = out c
        }
        return out
    }
    # Parameters of the signature s, from the commas directly inside its first parentheses; where
    # the failure goes, the vise_err at the end, does not count.
    function params(s,    i, c, depth, n) {
        for (i = index(s, "("); i <= length(s); i++) {
            c = substr(s, i, 1)
            if (c == "(") depth++
            else if (c == ")" && --depth == 0) break
            else if (c == "," && depth == 1) n++
        }
        return n + (s !~ /, *vise_err \*[a-z]+\)[ \t]*\{?$/)
    }
    FNR == 1 {
        finish()
        file = FILENAME
        spdx = open = in_comment = 0
        name = FILENAME
        sub(/.*\//, "", name)
        if (index($0, "/* " name " - ") != 1) bad(1, "the first line is not \"/* " name " - what it is\"")
        kernel = file ~ /^src\/kern\//
    }
    {
        lines = FNR
        total++
        if ($0 ~ /SPDX-License-Identifier: MIT/) spdx = 1
        if ($0 ~ /TODO|FIXME/) bad(FNR, "unfinished: " $0)
        plain = code($0)
        word = plain
        gsub(/[^A-Za-z0-9_]/, " ", word)
        word = " " word " "
        if (match(word, / (strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|atof|gets|alloca) /))
            bad(FNR, substr(word, RSTART + 1, RLENGTH - 2) " is banned")
        if (word ~ / (setjmp|longjmp|sigsetjmp) / && plain !~ /^#/ &&
            file !~ /^src\/data\/image_(jpeg|png)\.c$/)
            bad(FNR, "setjmp is banned outside the JPEG and PNG readers")
        if (plain ~ /^[A-Za-z_]/ && !open) { start = FNR; signature = "" }
        if (!open) signature = signature plain
        if (plain ~ /^\{[ \t]*$/) open = start
        if (plain ~ /^\}/ && open) {
            functions++
            max = kernel ? 100 : 60
            n = FNR - open + 1
            if (n > max) bad(open, "a function of " n " lines, at most " max)
            n = params(signature)
            if (n > 6 && !kernel) bad(open, "a function of " n " parameters, at most 6")
            open = 0
        }
    }
    END {
        finish()
        if (!functions) print "no function was checked"
    }')
done_checking "$found"
