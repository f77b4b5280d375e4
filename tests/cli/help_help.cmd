# the help text of help, the same by both ways
vise help help
vise help help >a
vise help --help >b
cmp a b
