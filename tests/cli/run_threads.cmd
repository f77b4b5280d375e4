# the same bits for any number of threads
tiny m.vise 1
picture a.ppm "aZ0(b!"
vise run m.vise a.ppm --json --logits --threads 1 | sed "s/.*logits//" >1.txt
vise run m.vise a.ppm --json --logits --threads 3 | sed "s/.*logits//" >3.txt
grep -c "," 1.txt
cmp 1.txt 3.txt
