# ranges from pictures
tiny m.vise 1
folders set
vise compress m.vise q.vise --pass "quantize acts=static" --calib set --calib-count 3 | sed "s/ -> .*//" # the size: how many digits its scales have
vise compress m.vise all.vise --pass "quantize acts=static" --calib set | sed "s/ -> .*//"
cmp -s q.vise all.vise || echo the number of pictures counts
vise info q.vise | grep -E 'history|quantize|static'
vise eval q.vise --against m.vise --data set | grep pictures
vise compress m.vise x.vise --pass "quantize acts=static"
vise compress m.vise x.vise --pass "quantize acts=static" --calib nowhere
ls x.vise
