# the help text of convert, the same by both ways
vise help convert
vise help convert >a
vise convert --help >b
cmp a b
