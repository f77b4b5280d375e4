# synthetic pictures that there are not
tiny m.vise 1
vise eval m.vise --data scenes:colour=red
vise eval m.vise --data scenes:size=64,count=many
vise eval m.vise --data scenes:size=64x8
vise eval m.vise --data scenes: --truth labels.csv
vise data pictures out
vise data scenes out --classes 12
vise data scenes out --size 10
vise data scenes nowhere/out
vise data scenes out --sheet nowhere/sheet.ppm
mkdir full
touch full/.hidden
vise data scenes full
touch file
vise data scenes file
ls -A
