# what is not known is named, and what is known is listed
tiny m.vise 1
vise compress m.vise
vise compress m.vise q.vise
vise compress m.vise q.onnx --pass quantize
vise compress m.vise q.vise --pass
vise compress m.vise q.vise --pass ""
vise compress m.vise q.vise --pass prune
vise compress m.vise q.vise --pass "quantize weight=int8"
vise compress m.vise q.vise --pass "quantize weights=int9"
vise compress m.vise q.vise --pass "quantize weights=int4"
vise compress m.vise q.vise --pass "quantize fold=-1"
vise compress m.vise q.vise --pass "quantize fold=2"
vise compress m.vise q.vise --pass "quantize weights"
vise compress m.vise q.vise --pass "quantize acts=f32 acts=f32"
vise compress m.vise q.vise --pass "quantize skip=hood"
vise compress m.vise q.vise --pass "quantize skip=head,,norm"
vise compress missing.vise q.vise --pass quantize
vise compress m.vise q.vise --calib-count 0 --pass quantize
ls q.vise
