# a model as JSON, with an override of its recipe
tiny m.vise 1
vise info m.vise --json
vise info m.vise --json --mean 0.5 --std 0.25,0.5,0.75 --interpolation bilinear --crop-mode squash --crop-pct 0.5 --ignore-exif
