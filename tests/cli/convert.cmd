# a .vise file converted is the same model; what OUT may be
tiny a.vise 1
vise convert a.vise b.vise
vise convert b.vise c.vise --json
cmp b.vise c.vise && echo the same
vise convert a.vise d
ls
