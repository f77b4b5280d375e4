# an ONNX file: what is said, what is refused, and who writes it
tiny a.vise 1
vise convert a.vise b.onnx
vise convert b.onnx c.vise
vise compress a.vise q.vise --pass "quantize" --quiet >log
vise convert q.vise q.onnx --json
vise convert q.vise q.onnx --quiet
vise convert a.vise nowhere/b.onnx
vise new vit new.onnx --dim 8 --depth 1 --heads 2
ls
