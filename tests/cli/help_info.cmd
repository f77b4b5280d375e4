# the help text of info, the same by both ways
vise help info
vise help info >a
vise info --help >b
cmp a b
