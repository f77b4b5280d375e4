# names and dimensions that do not work
vise new vitt m.vise
vise new vit m.vise --dim 30 --heads 4
vise new vit m.vise --size 17 --patch 4
vise new vit m.safetensors
ls
