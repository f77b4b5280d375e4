# two models in turns, and one alone; all numbers measured are left out
tiny a.vise 1
tiny b.vise 2
vise bench a.vise b.vise --runs 3 --warmup 1 --threads 1 --json
vise bench a.vise b.vise --runs 3 --warmup 0 --batch 2 --threads 1 --quiet >out
sed "s/vise  .* x[0-9.]*/vise #/; s/thread, .*/thread, #/; s/   */  /g" out
vise bench a.vise nowhere.vise --runs 1
