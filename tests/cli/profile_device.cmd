# a device that is not here; traffic depends on where memory lies, so numbers are left out
tiny m.vise 1
vise profile m.vise --device phone --report page.html --json --threads 1 --cpu c >out
tail -n 1 out | grep -o '"macs":[0-9]*\|"device":"[a-z]*"\|"modelled":[a-z]*'
grep -c '<circle' page.html
grep -o '</html>' page.html
vise profile m.vise --device rpi5 --cores 2 --threads 1 --cpu c | sed -n '1p;2p'
vise profile m.vise --device abacus
vise profile m.vise --device phone --devices none.json
vise profile m.vise --device phone --report nowhere/page.html >out
