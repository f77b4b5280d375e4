# what does not fit is refused with the numbers; 1 MB is plenty for these
tiny m.vise 1
tiny n.vise 2
folders d
vise run m.vise d/ant/1.ppm --max-memory 1M --top 1 | sed "s/:.*/: #/"
vise eval m.vise --data d --max-memory 0G
for size in 20K 19Ki 20480; do
    vise run m.vise d/ant/1.ppm --max-memory $size --cpu c --threads 1 2>&1 | sed "s/needs.*),/needs #,/"
done
vise bench m.vise --max-memory 9K --runs 1 --threads 1 2>&1 | sed "s/needs.*),/needs #,/"
vise eval m.vise --against n.vise --data d --max-memory 9K --quiet 2>&1 | sed "s/needs.*),/needs #,/"
vise diff m.vise n.vise --data d --max-memory 9K --quiet 2>&1 | sed "s/needs.*),/needs #,/"
vise run m.vise d/ant/1.ppm --max-memory 16MB
vise run m.vise d/ant/1.ppm --max-memory 99999999999G
vise run m.vise d/ant/1.ppm --max-memory -1
vise convert m.vise o.vise --max-memory 1M
