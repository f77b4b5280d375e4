# students: of all blocks, of some, with a distillation token, of other dimensions
vise new vit teacher.vise --dim 32 --depth 4 --heads 2 --patch 4 --size 16 --classes 5 >all
vise new vit a.vise --from teacher.vise
vise new vit b.vise --from teacher.vise --blocks 0,3 --distilled --json
vise new vit c.vise --from teacher.vise --depth 2 --mlp-ratio 2 --seed 3
vise new vit d.vise --from teacher.vise --depth 2 --size 8 --quiet
vise new vit e.vise --dim 32 --depth 1 --heads 2 --patch 4 --size 16 --classes 5 --distilled
picture p.ppm 'aZ0(b!'
vise run teacher.vise p.ppm | sed 1d >t
vise run a.vise p.ppm | sed 1d | cmp - t && echo the same answer
vise info b.vise | grep -A1 history
vise info b.vise --layers | grep ^head
