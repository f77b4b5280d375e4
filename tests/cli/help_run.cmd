# the help text of run, the same by both ways
vise help run
vise help run >a
vise run --help >b
cmp a b
