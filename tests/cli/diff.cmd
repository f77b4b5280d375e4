# a model against itself: no error in any layer; as text and as JSON
vise new vit a.vise --dim 8 --depth 1 --heads 2 --patch 4 --size 8 --classes 3 --seed 1 >/dev/null
folders set
vise diff a.vise a.vise --data set
vise diff a.vise a.vise --data set --json --limit 1
