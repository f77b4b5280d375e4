# the help text of cpu, the same by both ways
vise help cpu
vise help cpu >a
vise cpu --help >b
cmp a b
