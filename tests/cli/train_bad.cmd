vise new vit s.vise --dim 16 --depth 1 --heads 1 --patch 8 --size 16 --classes 10 --quiet
vise train s.vise t.vise
vise train s.vise t.bin --data scenes:
vise train s.vise t.vise --data scenes:count=32,size=16 --set "epoch=3"
vise train s.vise t.vise --data scenes:count=32,size=16 --set "rate=0"
vise train s.vise t.vise --data scenes:count=32,size=16 --recipe nowhere
vise train s.vise t.vise --data scenes:count=200,size=16,classes=100
vise train s.vise t.vise --data scenes:count=32,size=16 --set "distill=soft"
vise distill s.vise s.vise t.vise --data scenes:count=32,size=16 --set "distill=token"
vise compress s.vise t.vise --pass repair
vise compress s.vise t.vise --pass "repair batch=0" --calib scenes:count=8,size=16
ls
