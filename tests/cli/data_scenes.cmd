# synthetic pictures: as files, and without
vise data scenes set --count 12 --size 24x32 --seed 3 --sheet sheet.ppm
ls set
ls set/images | tail -2
head -3 set/labels.csv set/boxes.csv
head -2 set/classes.txt
cksum <set/images/000011.ppm
cksum <set/masks/000011.pgm
cksum <sheet.ppm
mkdir hundred
vise data scenes hundred --count 1 --classes 100 --json
wc -l <hundred/classes.txt
vise new vit m.vise --dim 32 --depth 2 --heads 2 --patch 8 --size 32 --classes 10 >/dev/null
vise eval m.vise --data set --json --threads 1 | sed 's/"set"/"-"/' >files
vise eval m.vise --data scenes:count=12,size=24x32,seed=3 --json --threads 1 | sed 's/"scenes:[^"]*"/"-"/' >drawn
sed 's/"images_per_s":[^,]*//' files >a
sed 's/"images_per_s":[^,]*//' drawn >b
cmp a b && echo same
