# values that options do not take
vise run m.vise a.ppm --top
vise run m.vise a.ppm --top 0
vise run m.vise a.ppm --top 1x
vise run m.vise a.ppm --top -1
vise run m.vise a.ppm --top 99999999999999999999
vise run m.vise a.ppm --heads 4294967296
vise run m.vise a.ppm --size 12x
vise run m.vise a.ppm --size 0x12
vise run m.vise a.ppm --mean 1,2
vise run m.vise a.ppm --mean 0.5
vise run m.vise a.ppm --mean=0.5 --std=0
vise run m.vise a.ppm --ln-eps nan
vise run m.vise a.ppm --crop-mode middle
vise run m.vise a.ppm --json=1
vise eval m.vise --data --json
