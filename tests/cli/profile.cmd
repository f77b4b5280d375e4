# steps, groups and the picture of a tiny model; all numbers measured are left out
tiny 'a&<b.vise' 1
vise profile 'a&<b.vise' --runs 3 --warmup 1 --threads 1 --cpu c --svg p.svg >out
sed -E 's/ +[0-9]+\.[0-9]+ ms +.*%.*/ #/; s/[0-9]+\.[0-9]+ ms/# ms/; s/  +[0-9]+\.[0-9]{3} .*/ #/; s/   +/  /g; s/  [#.]+$//' out
grep -c '<title>' p.svg
sed -E -n '/<title>(patch|head)/ { s/width="[^"]*"/width="#"/; s/x="[0-9.]*" y="([0-9]*)">[0-9., GOP/s]*/x="#" y="\1">#/g; p }; /class="t"/p; $p' p.svg
vise profile 'a&<b.vise' --runs 2 --batch 2 --threads 2 --cpu c --json --quiet >out
sed -E 's/"((of_peak|share|gops|steps_ms|between_ms|gemm|attention|rest))":[-+.0-9e]+/"\1":#/g' out
vise profile 'a&<b.vise' --runs 1 --svg nowhere/p.svg >out
vise profile 'a&<b.vise' --runs 1 --svg /dev/full >out
vise profile 'a&<b.vise' --max-memory 1K 2>&1 | sed 's/needs.*/needs #/'
