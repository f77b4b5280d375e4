# the help text of new, the same by both ways
vise help new
vise help new >a
vise new --help >b
cmp a b
