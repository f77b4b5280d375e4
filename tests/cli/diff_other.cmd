# two models of different weights part; the first line and the number of lines
vise new vit a.vise --dim 8 --depth 1 --heads 2 --patch 4 --size 8 --classes 3 --seed 1 >/dev/null
vise new vit b.vise --dim 8 --depth 1 --heads 2 --patch 4 --size 8 --classes 3 --seed 2 >/dev/null
folders set
vise diff a.vise b.vise --data set --json >rows
wc -l <rows
grep -c "\"relative_error\":0.0," rows
