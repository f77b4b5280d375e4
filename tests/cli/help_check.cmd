# the help text of check, the same by both ways
vise help check
vise help check >a
vise check --help >b
cmp a b
