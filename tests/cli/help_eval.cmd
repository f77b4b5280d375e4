# the help text of eval, the same by both ways
vise help eval
vise help eval >a
vise eval --help >b
cmp a b
