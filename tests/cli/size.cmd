# another input size than the file was made for
tiny m.vise 1
picture a.ppm "aZ0(b!"
vise info m.vise --size 24x32 | head -8
vise run m.vise a.ppm --size 24x32 --top 1 --json
