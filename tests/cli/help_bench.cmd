# the help text of bench, the same by both ways
vise help bench
vise help bench >a
vise bench --help >b
cmp a b
