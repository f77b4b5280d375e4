# the help text of data, the same by both ways
vise help data
vise help data >a
vise data --help >b
cmp a b
