# palettes: from the weights alone, by pictures, and nothing at all
tiny m.vise 1
folders set
vise compress m.vise k.vise --pass "cluster k=16 method=kmeans" --cpu c
vise info k.vise --layers | grep -E 'cluster|codebook' | head -4
vise compress m.vise f.vise --pass "cluster k=16 acts=f32 codebook=model" --calib set --quiet --cpu c
vise compress m.vise same.vise --pass "cluster k=0 acts=f32 rest=f32" --cpu c
vise eval same.vise --against m.vise --data set --cpu c | grep -E 'agreement|KL|error'
vise compress m.vise no.vise --pass "cluster"
vise compress m.vise no.vise --pass "cluster k=1000"
vise bench k.vise --runs 1 --cache 64Ki --threads 1 --cpu c --quiet | tail -n 1 | cut -d ' ' -f 1
