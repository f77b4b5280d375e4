# a device that is not here; traffic depends on where memory lies, so numbers are left out
tiny m.vise 1
vise profile m.vise --device phone --report page.html --json --threads 1 --cpu c >out
tail -n 1 out | grep -o '"macs":[0-9]*\|"device":"[a-z]*"\|"modelled":[a-z]*'
grep -o '</html>' page.html
vise profile m.vise --device rpi5 --cores 2 --threads 1 --cpu c | sed -n '1p;2p'
# one of a file, with caches so small that every product is a point under the roofs
{
    printf '{"devices": [{"name": "a<b", "about": "tiny & slow"'
    for field in cores=1 ghz=1 f32_macs_per_cycle=4 bf16_macs_per_cycle=4 int8_macs_per_cycle=8 line=64 l1_kb=1 \
        l1_ways=2 llc_kb=2 llc_ways=4 dram_gbs=1 pj_f32_mac=5 pj_bf16_mac=5 pj_int8_mac=1 pj_l1_byte=1 \
        pj_llc_byte=10 pj_dram_byte=100 idle_w=0; do
        printf ', "%s": {"value": %s, "source": "made up"}' "${field%=*}" "${field#*=}"
    done
    printf '}]}'
} >own.json
vise profile m.vise --device 'a<b' --devices own.json --report own.html --threads 1 --cpu c >out
grep -c '<circle' own.html
grep -o 'on a[^,]*, 1 cores: [^.]*' own.html
# what is refused
vise profile m.vise --device abacus
vise profile m.vise --device phone --devices none.json
sed 's/"ghz": {"value": 1,/"ghz": {"value": -1,/' own.json >bad.json
vise profile m.vise --device 'a<b' --devices bad.json
vise profile m.vise --device phone --report nowhere/page.html >out
