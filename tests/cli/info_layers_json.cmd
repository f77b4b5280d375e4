# the layers as JSON
vise new vit m.vise --dim 8 --depth 1 --heads 2 --patch 4 --size 8 --classes 3 >/dev/null
vise info m.vise --json --layers
