# a picture that is none is reported, the others go on, status 1
tiny m.vise 1
picture a.ppm "aZ0(b!"
picture b.ppm "zzz000"
echo hello >text.jpg
vise run m.vise a.ppm text.jpg nowhere.png b.ppm --json --top 1
