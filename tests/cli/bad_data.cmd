# data sets that are none
tiny m.vise 1
vise eval m.vise --data nowhere
mkdir empty
vise eval m.vise --data empty
folders set
echo hello >set/bee/1.ppm
vise eval m.vise --data set --quiet
