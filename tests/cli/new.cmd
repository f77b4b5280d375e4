# a new model; the same seed gives the same file, another one does not
new="vise new vit --dim 32 --depth 2 --heads 2 --patch 4 --size 16 --classes 5"
$new a.vise --seed 1
$new b.vise --seed 1 --json
$new c.vise --seed 2
cmp a.vise b.vise && cmp -s a.vise c.vise || echo as it should be
