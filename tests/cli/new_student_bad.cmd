# teachers, blocks and dimensions that do not work
tiny t.vise 1
vise new vit m.vise --blocks 0,1
vise new vit m.vise --from nothing.vise
vise new vit m.vise --from t.vise --blocks 0,2
vise new vit m.vise --from t.vise --blocks 0,,1
vise new vit m.vise --from t.vise --blocks -1
vise new vit m.vise --from t.vise --depth 3
vise new vit m.vise --from t.vise --dim 64 --heads 2 --classes 3
vise new deit_tiny_patch16_224 m.vise --from t.vise
checkpoint raw.safetensors 1
vise new vit m.vise --from raw.safetensors
ls
