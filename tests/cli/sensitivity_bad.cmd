# what is missing or out of range
tiny m.vise 1
folders set
vise sensitivity --calib set
vise sensitivity m.vise
vise sensitivity m.vise --calib nowhere
vise sensitivity m.vise --calib set --group 16
vise sensitivity m.vise --calib set --calib-count 0
vise sensitivity m.vise --calib set --svg nowhere/p.svg >out
vise compress m.vise q.vise --pass quantize >out
vise sensitivity q.vise --calib set
vise compress m.vise x.vise --calib set --pass "quantize weights=auto budget=1kB"
vise compress m.vise x.vise --calib set --pass "quantize weights=auto"
ls x.vise
