# answers as text
tiny m.vise 1
picture a.ppm "aZ0(b!"
picture b.ppm "zzz000"
vise run m.vise a.ppm b.ppm --threads 1 --top 3
