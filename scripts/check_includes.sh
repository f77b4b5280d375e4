#!/bin/bash
# check_includes.sh [ROOT] - includes point to the same or an earlier module, never to a later one.
# SPDX-License-Identifier: MIT
set -euo pipefail
. "$(dirname "$0")/common.sh"
use_root "${1:-}"

# The modules of docs/ARCHITECTURE.md in dependency order; the command comes last and sees vise.h only.
modules="base kern graph model exec data train compress report"

# What a small device links (base to exec) must not need a codec or an archive reader.
found=$(c_files src cli | LC_ALL=C xargs -0 awk -v modules="$modules" '
    BEGIN {
        n = split(modules, name, " ")
        for (i = 1; i <= n; i++) rank[name[i]] = i
    }
    function bad(text) { printf "%s:%d: %s\n", FILENAME, FNR, text }
    FNR == 1 {
        files++
        split(FILENAME, part, "/")
        mine = part[1] == "cli" ? "cli" : part[2]
        if (mine != "cli" && !(mine in rank)) bad("src/" mine " is not a module of the list")
    }
    /^[ \t]*#[ \t]*include[ \t]*"/ {
        split($0, quoted, "\"")
        path = quoted[2]
        slash = index(path, "/")
        theirs = substr(path, 1, slash - 1)
        if (mine == "cli") {
            if (slash) bad("the command includes " path "; it may use vise.h and its own headers")
        } else if (path == "vise.h") {
        } else if (path ~ /\.\./ || !slash) {
            bad("write \"module/" path "\"")
        } else if (!(theirs in rank)) {
            bad(path " is not in a module of the list")
        } else if (rank[theirs] > rank[mine]) {
            bad(mine " includes " path ", but " theirs " comes later")
        }
    }
    /^[ \t]*#[ \t]*include[ \t]*</ {
        split($0, angle, /[<>]/)
        if (angle[2] !~ /^((jpeglib|jerror|png|archive|archive_entry)\.h|(webp|libexif)\/.*)$/) next
        if (mine == "cli" || rank[mine] < rank["data"])
            bad(mine " includes <" angle[2] ">; codecs belong to data")
    }
    END { if (!files) print "no file was checked" }')
done_checking "$found"
