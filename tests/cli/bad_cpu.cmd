# a CPU level that is not there
tiny m.vise 1
picture a.ppm "aZ0(b!"
vise run m.vise a.ppm --cpu sse9
