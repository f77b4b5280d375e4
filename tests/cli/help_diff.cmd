# the help text of diff, the same by both ways
vise help diff
vise help diff >a
vise diff --help >b
cmp a b
