# a training, stopped by nothing: its points, and what it made; the report and the log
vise new vit s.vise --dim 16 --depth 1 --heads 1 --patch 8 --size 16 --classes 10 --quiet
echo 'steps=4 batch=8 # a comment' >recipe
vise train s.vise t.vise --data scenes:count=32,size=16 --recipe recipe --set "rate=0.01 smoothing=0" --json --cpu c --log log.csv --report page.html | sed -E 's/"images_per_s":[0-9.]+//'
head -n 1 log.csv; grep -c . log.csv; grep -c polyline page.html; ls
vise info t.vise --json | grep -o '"train epochs[^"]*"'
vise distill t.vise s.vise d.vise --data scenes:count=32,size=16 --set "steps=2 batch=8" --cpu c
vise compress t.vise q.vise --pass "quantize weights=int4 ends=same" --pass "repair epochs=1" --calib scenes:count=16,size=16 --cpu c --quiet
vise finetune q.vise r.vise --data scenes:count=32,size=16 --set "steps=2 batch=8" --cpu c --quiet
vise info r.vise | grep -E '^ *(u4|weights|types)'
